import assert from 'node:assert/strict'
import { glob, readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { ERROR_CODES } from '../uploads/errors.ts'
import { renderErrorDocs } from './docs.ts'
import { ERROR_TABLE } from './table.ts'

const ROOT = new URL('../../', import.meta.url)

test('docs/errors.md is what the table says (npm run docs)', async () => {
  assert.equal(await readFile(new URL('docs/errors.md', ROOT), 'utf8'), renderErrorDocs())
})

test('the table has every code once, and no other', () => {
  assert.deepEqual(Object.keys(ERROR_TABLE).sort(), [...ERROR_CODES].sort())
})

test('every code is used somewhere', async () => {
  const declared = /^server\/(errors\/|uploads\/errors\.ts$)|\.test\.ts$/
  const used = new Set<string>()
  for await (const file of glob('{server,hooks,db}/**/*.ts', { cwd: ROOT.pathname })) {
    if (declared.test(file)) continue
    const source = await readFile(new URL(file, ROOT), 'utf8')
    for (const code of ERROR_CODES) if (source.includes(`'${code}'`)) used.add(code)
  }
  const unused = ERROR_CODES.filter((code) => !used.has(code) && code !== 'internal')
  assert.deepEqual(unused, [])
})
