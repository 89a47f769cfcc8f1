import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { stageOf, testFiles } from './files.ts'

const ROOT = join(import.meta.dirname, '..', '..')

test('the folder decides the stage', () => {
  assert.equal(stageOf('server/uploads/id.test.ts'), 'unit')
  assert.equal(stageOf('test/support/services.test.ts'), 'unit')
  assert.equal(stageOf('test/house/walls.test.ts'), 'house')
  assert.equal(stageOf('test/integration/queue.test.ts'), 'integration')
  assert.equal(stageOf('test/acceptance/main-job.test.ts'), 'acceptance')
})

test('all test files are found, ours only, and paths choose among them', () => {
  const all = testFiles(ROOT)
  assert.ok(all.includes('scripts/testing/files.test.ts'))
  assert.ok(all.every((file) => !file.includes('node_modules')))
  assert.deepEqual(testFiles(ROOT, [import.meta.filename]), ['scripts/testing/files.test.ts'])
  const house = testFiles(ROOT, [join(ROOT, 'test', 'house')])
  assert.ok(house.length >= 3 && house.every((file) => file.startsWith('test/house/')))
})
