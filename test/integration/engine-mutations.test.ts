import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { edited, MUTATIONS } from './support/property/mutations.ts'

const LONG = process.env.TEST_LONG === '1'
const ROOT = join(import.meta.dirname, '..', '..')
/** Runs within which a seeded bug must be found. */
const RUNS = 12_000

/**
 * Is the property test worth anything? Each bug is written into a copy of the engine, and the same runs that the engine
 * passes have to find it.
 */
describe('the property test finds each seeded bug (TEST_LONG=1)', { skip: !LONG }, () => {
  let copy: string

  before(async () => {
    copy = await mkdtemp(join(tmpdir(), 'mutants-'))
    for (const folder of ['server', 'db', 'test/integration/support', 'test/support', 'package.json']) {
      await cp(join(ROOT, folder), join(copy, folder), { recursive: true })
    }
    await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  })
  after(() => rm(copy, { recursive: true, force: true }))

  test('the copy as it is passes the same runs: what is found below is the bug', async () => {
    for (const broken of [false, true]) assert.deepEqual(await runs(copy, broken, RUNS), { failed: false, runs: RUNS })
  })

  for (const mutation of MUTATIONS) {
    test(`a bug that ${mutation.name}`, async (t) => {
      const undo: (() => Promise<void>)[] = []
      for (const edit of mutation.edits) {
        const path = join(copy, 'server', 'uploads', edit.file)
        const source = await readFile(path, 'utf8')
        await writeFile(path, edited(source, edit))
        undo.unshift(() => writeFile(path, source))
      }
      try {
        const found = await runs(copy, mutation.broken, RUNS)
        assert.ok(found.failed, `not found in ${RUNS} runs`)
        t.diagnostic(`found in run ${found.runs}`)
      } finally {
        for (const each of undo) await each()
      }
    })
  }
})

function runs(folder: string, broken: boolean, count: number): Promise<{ failed: boolean; runs: number }> {
  const cli = join(folder, 'test', 'integration', 'support', 'property', 'cli.ts')
  const options = ['--no-shrink', `--runs=${count}`, '--seed=1', ...(broken ? ['--broken'] : [])]
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [cli, ...options], { timeout: 300_000, maxBuffer: 1e8 }, (error, stdout) => {
      const line = stdout.split('\n')[0]
      if (line) resolve(JSON.parse(line))
      else reject(error ?? new Error('no output'))
    })
  })
}
