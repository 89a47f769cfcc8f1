import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { groupRuns } from './processes.ts'
import type { Outcome } from './reporter.ts'
import { runFile } from './run-file.ts'
import { Tally } from './tally.ts'

const HEAD = `import { test, describe } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
`

interface Ran {
  readonly list: readonly Outcome[]
  readonly output: string
  readonly group: number
}

async function outcomes(source: string, timeoutMs = 20_000): Promise<Ran> {
  const root = await mkdtemp(join(tmpdir(), 'run-file-'))
  try {
    await writeFile(join(root, 'x.test.mjs'), HEAD + source)
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    const result = await runFile('x.test.mjs', { root, env: { ...env, ROOT: root }, scratch: root, timeoutMs })
    const group = await readFile(join(root, 'group'), 'utf8').catch(() => undefined)
    return { list: result.outcomes, output: result.output, group: Number(group) }
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

function brief(list: readonly Outcome[]): string[] {
  return list.map(({ name, result }) => `${result} ${name}`)
}

test('passes, failures and skips are told apart, suites do not count, a failed parent counts once', async () => {
  const { list, output } = await outcomes(`
    test('a', () => {})
    test('b', () => assert.equal(1, 2))
    test('c', { skip: 'no' }, () => {})
    describe('suite', () => { test('d', () => {}) })
    test('parent', async (t) => { await t.test('child', () => assert.fail('deep')) })
    console.log('said')
  `)
  assert.deepEqual(brief(list), ['passed a', 'failed b', 'skipped c', 'passed d', 'failed child'])
  assert.match(list[1]?.error ?? '', /1 !== 2/)
  assert.match(output, /said/)
})

test('a hang ends in time and counts as a failure', async () => {
  const { list } = await outcomes(
    `test('a', () => {}); test('b', () => new Promise(() => setInterval(() => {}, 1e6)))`,
    1500,
  )
  const file = list.at(-1)
  assert.equal(file?.result, 'failed')
  assert.match(file?.error ?? '', /did not end within/)
})

test('a handle left open counts as a failure', async () => {
  const { list } = await outcomes(`test('a', () => { setInterval(() => {}, 1e6) })`, 1500)
  assert.match(list.at(-1)?.error ?? '', /leaves a handle open/)
})

test('a crash counts as a failure', async () => {
  const { list } = await outcomes(`test('a', () => {}); process.exit(7)`)
  assert.deepEqual(
    list.filter(({ result }) => result === 'failed').map(({ error }) => error),
    ['exited with 7'],
  )
})

test('a file without tests counts as a failure', async () => {
  const { list } = await outcomes('')
  assert.deepEqual(
    list.map(({ error }) => error),
    ['holds no test'],
  )
})

test('a child process left behind is ended and counts as a failure', async () => {
  const { list, group } = await outcomes(`
    import { writeFileSync } from 'node:fs'
    test('a', () => {
      const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
      writeFileSync(process.env.ROOT + '/group', String(process.pid))
      child.unref()
    })
  `)
  assert.deepEqual(brief(list), ['passed a', 'failed (file) x.test.mjs'])
  assert.match(list[1]?.error ?? '', /left a child process behind/)
  while (groupRuns(group)) await setImmediate()
})

test('the last line counts everything once', () => {
  const tally = new Tally()
  tally.check('types', true, '')
  assert.equal(tally.summary(), '1 passed, 0 failed')
  tally.check('lint', false, 'x.ts: no')
  tally.file({
    file: 'x.test.ts',
    durationMs: 1,
    output: 'why',
    outcomes: [
      { name: 'a', result: 'passed' },
      { name: 'b', result: 'failed', error: '1 !== 2' },
      { name: 'c', result: 'skipped' },
    ],
  })
  assert.equal(tally.summary(), '2 passed, 2 failed, 1 skipped')
  for (const part of ['lint', 'x.ts: no', 'x.test.ts: b', '1 !== 2', 'why'])
    assert.ok(tally.failures().includes(part), part)
})
