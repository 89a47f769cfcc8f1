import assert from 'node:assert/strict'
import { test } from 'node:test'
import { idleTests, lineCount, placesOfOneMachine } from './order.ts'
import { codeFiles, projectFiles, textOf } from './sources.ts'

const MOST_LINES = 400

/** Longer files, each with the reason why it is one idea all the same. */
const LONGER: Readonly<Record<string, string>> = {
  'server/config/settings.ts': 'one table: every variable once',
}

/** Files whose subject is what the rules below look for. */
const ABOUT_THE_RULES = /^test\/house\//

const BINARY = /\.(png|jpe?g|gif|ico|webp|woff2?|gz|zip|pdf)$/

test(`no source has more than ${MOST_LINES} lines, except those listed with a reason`, () => {
  const long = codeFiles().filter((file) => /^(server|hooks|db)\//.test(file) && lineCount(textOf(file)) > MOST_LINES)
  assert.deepEqual(
    long.filter((file) => LONGER[file] === undefined),
    [],
  )
})

test('no test is skipped without a reason, and none shuts the others out', () => {
  const files = codeFiles().filter((file) => !ABOUT_THE_RULES.test(file))
  assert.deepEqual(
    files.flatMap((file) => idleTests(file, textOf(file))),
    [],
  )
})

test('no file names a place that only one machine has', () => {
  const files = projectFiles().filter((file) => !BINARY.test(file) && !ABOUT_THE_RULES.test(file))
  assert.ok(files.includes('package-lock.json'))
  assert.deepEqual(
    files.flatMap((file) => placesOfOneMachine(file, textOf(file))),
    [],
  )
})

test('the lock file names no registry, so that each uses his own', () => {
  assert.doesNotMatch(textOf('package-lock.json'), /"resolved"/)
})

test('idle tests are found', () => {
  for (const line of [
    "test.only('x', f)",
    "test.skip('x', f)",
    "it.todo('x')",
    "test('x', { skip: true }, f)",
    't.skip()',
  ]) {
    assert.equal(idleTests('x.test.ts', line).length, 1, line)
  }
  for (const text of [
    "// needs Docker\ntest.skip('x', f)",
    "t.skip('no IPv6 here')",
    "test('x', { skip: reason }, f)",
  ]) {
    assert.deepEqual(idleTests('x.test.ts', text), [], text)
  }
})

test('places of one machine are found', () => {
  for (const line of [
    "const dir = '/work/data'",
    'cd /root/.cache',
    'see https://nexus.example.com/npm',
    '"/home/me/x"',
  ]) {
    assert.equal(placesOfOneMachine('x', line).length, 1, line)
  }
  for (const line of [
    "from '../work/x.ts'",
    'https://registry.npmjs.org/x',
    '`/home/node/app`',
    'docs/root/x',
    '/api/v1',
  ]) {
    assert.deepEqual(placesOfOneMachine('x', line), [], line)
  }
})
