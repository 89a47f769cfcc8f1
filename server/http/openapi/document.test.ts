import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createConfig, lintFromString } from '@redocly/openapi-core'
import { API_DOCUMENT } from './document.ts'
import { operationsOf, renderReference } from './render.ts'

/** Rules that do not fit, each with its reason. */
const RULES = {
  // Health, pages and documents have no answer that is the caller's fault.
  'operation-4xx-response': 'off',
  // `/uploads/multiple` beside `/uploads/{id}`: OpenAPI itself says that the concrete one is matched first.
  'no-ambiguous-paths': 'off',
} as const

async function lint(document: unknown): Promise<string[]> {
  const config = await createConfig({ extends: ['recommended-strict'], rules: RULES })
  const source = JSON.stringify(document)
  const problems = await lintFromString({ source, absoluteRef: 'openapi.json', config })
  return problems.map(({ ruleId, message, location }) => `${ruleId} at ${location[0]?.pointer}: ${message}`)
}

test('the document keeps the rules of OpenAPI 3.1, and those of good style', async () => {
  assert.deepEqual(await lint(API_DOCUMENT), [])
})

test('the rules find a fault', async () => {
  const { '/livez': live, ...paths } = API_DOCUMENT.paths
  const broken = { ...API_DOCUMENT, paths: { ...paths, '/livez/{x}': live } }
  assert.match((await lint(broken)).join('\n'), /path-parameters-defined/)
})

test('every operation that asks for a token names its roles, and no other does', () => {
  for (const { operation } of operationsOf(API_DOCUMENT)) {
    assert.equal(operation.security.length > 0, (operation['x-roles'] ?? []).length > 0, operation.operationId)
  }
})

test('the page shows every operation and schema, and fetches nothing', () => {
  const page = renderReference(API_DOCUMENT, 'body{}')
  for (const { operation, method, path } of operationsOf(API_DOCUMENT)) {
    assert.ok(page.includes(`id="${operation.operationId}"`), operation.operationId)
    assert.ok(page.includes(`<b>${method}</b> ${path}`), `${method} ${path} in the contents`)
  }
  for (const name of Object.keys(API_DOCUMENT.components.schemas)) assert.ok(page.includes(`id="schema-${name}"`), name)
  assert.doesNotMatch(page, /<script|<link|<img|<iframe|@import|url\(|\ssrc=/)
  for (const [, target = ''] of page.matchAll(/href="#([^"]+)"/g)) {
    assert.ok(page.includes(`id="${target}"`), `#${target} leads nowhere`)
  }
})

test('what the document says is text in the page', () => {
  const page = renderReference({ ...API_DOCUMENT, info: { ...API_DOCUMENT.info, title: '<i>"&' } }, '')
  assert.ok(page.includes('<h1>&lt;i&gt;&quot;&amp; '))
})
