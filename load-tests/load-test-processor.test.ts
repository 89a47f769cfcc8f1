/** The processor without artillery: what a virtual user does, and which metrics load-test.yml can then judge. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { startFaultyServer } from '../test/support/faulty-tus-server.ts'
import { uploadUntilOver } from './load-test-processor.js'

const script = parse(await readFile(join(import.meta.dirname, 'load-test.yml'), 'utf8'))

test('virtual users upload until the time is over; every metric of the thresholds is there', async () => {
  const server = await startFaultyServer('none')
  try {
    const [sums, samples] = [new Map<string, number>(), new Map<string, number>()]
    const emit = (kind: 'counter' | 'histogram', name: string, value: number): void => {
      const all = kind === 'counter' ? sums : samples
      all.set(name, (all.get(name) ?? 0) + (kind === 'counter' ? value : 1))
    }
    const small = { duration: 2, concurrent: 3, size: '50KB', chunk: '8KiB', 'per-minute': '60MB', cuts: 0.2 }
    const user = { vars: { ...script.config.variables, ...small, target: server.url } }
    await Promise.all([1, 2, 3].map(() => uploadUntilOver(user, { emit })))
    assert.ok((sums.get('tus.uploadsVerified') ?? 0) >= 3)
    assert.ok((sums.get('tus.cuts') ?? 0) > 0)
    assert.equal(sums.get('tus.acknowledgedBytes'), (sums.get('tus.uploadsVerified') ?? 0) * 50_000)
    for (const name of ['errors', 'uploadsFailed', 'wrongContents']) assert.equal(sums.get(`tus.${name}`), 0, name)
    const { thresholds, conditions } = script.config.ensure
    const judged = [
      ...thresholds.flatMap(Object.keys),
      ...conditions.map(({ expression }: { expression: string }) => expression),
    ]
    for (const [name] of judged.join(' ').matchAll(/tus\.\w+/g)) {
      assert.ok(sums.has(name) || samples.has(name), `${name} is emitted`)
    }
  } finally {
    await server.close()
  }
})

test('with the guide’s numbers: a thousand users stay for 300 s', () => {
  const { phases, variables } = script.config.environments.guide
  assert.equal(phases[0].arrivalCount, 1000)
  assert.equal(variables.concurrent, 1000)
  assert.equal(variables.duration, 300)
  for (const thresholds of script.config.ensure.thresholds) assert.deepEqual(Object.values(thresholds), [200])
})
