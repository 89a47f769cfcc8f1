import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeFiles, textOf } from './sources.ts'
import { breaches } from './walls.ts'

test('no file of the project goes through a wall', () => {
  const files = codeFiles()
  assert.ok(files.length > 50, 'the sources were found')
  assert.deepEqual(
    files.flatMap((file) => breaches(file, textOf(file))),
    [],
  )
})

const THROUGH: readonly (readonly [what: string, file: string, source: string])[] = [
  ['the engine a driver', 'server/uploads/x.ts', `import { S3Store } from '../storage/s3/store.ts'`],
  ['the engine a package of HTTP', 'server/uploads/x.ts', `import { createServer } from 'node:http'`],
  [
    'a driver the machinery of the engine',
    'server/storage/s3/x.ts',
    `import { create } from '../../uploads/engine.ts'`,
  ],
  ['a room its neighbour', 'server/auth/x.ts', `import { log } from '../observability/log.ts'`],
  ['configuration anything', 'server/config/x.ts', `import { isState } from '../uploads/states.ts'`],
  ['one dialect the edge', 'server/tus/x.ts', `import { app } from '../http/app.ts'`],
  ['the database the hooks', 'db/x.ts', `import { relay } from '../hooks/relay.ts'`],
  ['a page the server', 'web/x.ts', `import { UPLOADS } from '../server/http/routes.ts'`],
  ['a load test the server', 'load-tests/x.ts', `import { newId } from '../server/uploads/id.ts'`],
  ['an acceptance test the server', 'test/acceptance/x.test.ts', `import { newId } from '../../server/uploads/id.ts'`],
  ['support for tests the server', 'test/support/x.ts', `import { newId } from '../../server/uploads/id.ts'`],
  [
    'the service something for tests',
    'server/http/x.ts',
    `import { freshPrefix } from '../../test/support/services.ts'`,
  ],
  ['a re-export', 'server/auth/x.ts', `export * from '../storage/file/store.ts'`],
  ['a named re-export', 'server/auth/x.ts', `export { a } from '../storage/file/store.ts'`],
  ['a dynamic import', 'server/auth/x.ts', `const m = await import('../storage/file/store.ts')`],
  ['an import for its effect', 'server/auth/x.ts', `import '../storage/file/store.ts'`],
  ['types that are still loaded', 'server/auth/x.ts', `import { type A } from '../storage/file/store.ts'`],
  ['SQL outside db', 'hooks/x.ts', 'const q = sql<number>`select 1`'],
  ['kysely outside db', 'hooks/x.ts', `import { Kysely } from 'kysely'`],
  ['pg outside db', 'server/http/x.ts', `import pg from 'pg'`],
  ['a scoped package out of its room', 'server/uploads/x.ts', `import { S3Client } from '@aws-sdk/client-s3'`],
  ['the environment', 'server/http/x.ts', 'const port = process.env.PORT'],
  ['a folder without a room', 'elsewhere/x.ts', 'export const x = 1'],
  ['a folder of the server without a room', 'server/elsewhere/x.ts', 'export const x = 1'],
]

for (const [what, file, source] of THROUGH) {
  test(`a breach is found: ${what}`, () => {
    const found = breaches(file, source)
    assert.equal(found.length, 1, found.join('\n'))
    assert.ok(found[0]?.startsWith(file))
  })
}

const FINE: readonly (readonly [what: string, file: string, source: string])[] = [
  ['types from anywhere', 'server/storage/x.ts', `import type { Engine } from '../uploads/engine.ts'`],
  ['types of packages', 'hooks/x.ts', `import type { Kysely } from 'kysely'`],
  ['re-exported types', 'server/auth/x.ts', `export type { Config } from '../config/config.ts'`],
  ['words', 'db/x.ts', `import { UploadError } from '../server/uploads/errors.ts'`],
  ['the own room', 'server/storage/s3/x.ts', `import { crc32 } from '../crc32.ts'`],
  ['main everything', 'server/main.ts', `import { S3Store } from './storage/s3/store.ts'\nload(process.env)`],
  ['hooks the database', 'hooks/x.ts', `import { claim } from '../db/outbox.ts'`],
  [
    'a unit test what is for tests',
    'server/auth/x.test.ts',
    `import { freshPrefix } from '../../test/support/services.ts'`,
  ],
  ['an integration test everything', 'test/integration/x.test.ts', `import { relay } from '../../hooks/relay.ts'`],
  ['a comment', 'server/http/x.ts', '// not process.env, and no sql`...`\n/* process.env */ export const x = 1'],
]

for (const [what, file, source] of FINE) {
  test(`allowed: ${what}`, () => assert.deepEqual(breaches(file, source), []))
}
