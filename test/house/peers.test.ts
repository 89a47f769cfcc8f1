import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const DIR = join(import.meta.dirname, '..', 'acceptance', 'peers')
const upTo = (word: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${word}${n + 1}`)

/** Title of each test there with the comment above it. */
function tests(): { title: string; comment: string }[] {
  const files = readdirSync(DIR).filter((name) => name.endsWith('.test.ts'))
  return files.flatMap((name) => {
    const source = readFileSync(join(DIR, name), 'utf8')
    const found = source.matchAll(/((?:^ *\/\/.*\n)*)(?:^ *for \(.*\n)?^ *test\(\s*['`](.*?)['`]/gm)
    return [...found].map(([, comment = '', title = '']) => ({ title, comment }))
  })
}

test('every defect of the peers that we know of has a test that is named after it', () => {
  const named = tests().flatMap(({ title }) => {
    const [cases = ''] = /^((?:R|N|fault )\d+)(, (?:R|N|fault )\d+)*/.exec(title) ?? []
    assert.notEqual(cases, '', `"${title}" begins with no case`)
    return cases.split(', ')
  })
  const known = [...upTo('R', 11), ...upTo('fault ', 9), ...upTo('N', 14)]
  assert.deepEqual([...new Set(named)].sort(), known.sort())
})

test('each of them says what the published packages did', () => {
  for (const { title, comment } of tests()) {
    assert.match(comment, /plain @tus\/server \d+\.\d+\.\d+ \+ (s3|file)-store \d+\.\d+\.\d+/, title)
  }
})
