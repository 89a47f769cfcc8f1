import assert from 'node:assert/strict'
import { describe, mock, test } from 'node:test'
import { createHealth, type HealthOptions, type Probe } from './health.ts'
import { watchMemory } from './memory-watch.ts'

const up = (driver: string): Probe => ({ driver, ping: async () => undefined })

function setup(probes: Partial<HealthOptions['probes']> = {}, more: Partial<HealthOptions> = {}) {
  const clock = { ms: 0 }
  const changes: string[] = []
  const health = createHealth({
    probes: { database: up('postgres'), redis: up('redis'), storage: up('s3'), ...probes },
    onChange: (name, state, cause) =>
      changes.push(`${name} ${state} ${cause instanceof Error ? cause.message : cause}`),
    now: () => clock.ms,
    ...more,
  })
  return { health, clock, changes }
}

describe('phases', () => {
  test('starting, serving, draining; a process that drains never serves again', async () => {
    const { health } = setup()
    assert.deepEqual([health.phase(), (await health.report()).status], ['starting', 'starting'])
    health.serve()
    assert.deepEqual([health.phase(), (await health.report()).status], ['serving', 'ok'])
    health.drain()
    health.serve()
    assert.deepEqual([health.phase(), (await health.report()).status], ['draining', 'draining'])
  })
})

describe('reports', () => {
  test('application, database, redis and storage, each with state and latency', async () => {
    const { health, clock } = setup()
    health.serve()
    clock.ms += 2500
    assert.deepEqual(await health.report(), {
      status: 'ok',
      checks: {
        application: { state: 'serving', latencyMs: 0, uptimeSeconds: 2 },
        database: { state: 'up', driver: 'postgres', latencyMs: 0 },
        redis: { state: 'up', driver: 'redis', latencyMs: 0 },
        storage: { state: 'up', driver: 's3', latencyMs: 0 },
      },
    })
  })

  test('what does not answer degrades, and its error stays inside', async () => {
    const { health, changes } = setup({
      redis: { driver: 'redis', ping: () => Promise.reject(new Error('connect redis-7:6379 secret')) },
    })
    health.serve()
    const report = await health.report()
    assert.equal(report.status, 'degraded')
    assert.deepEqual(report.checks.redis, { state: 'down', driver: 'redis', latencyMs: 0, reason: 'unavailable' })
    assert.equal(report.checks.database.state, 'up')
    assert.ok(!JSON.stringify(report).includes('secret'))
    assert.deepEqual(changes, ['redis down connect redis-7:6379 secret'])
  })

  test('a probe that never answers is down in time, and told to stop', async () => {
    let signal: AbortSignal | undefined
    const hanging: Probe = {
      driver: 's3',
      ping(given) {
        signal = given
        return new Promise(() => {})
      },
    }
    const { health } = setup({ storage: hanging }, { timeoutMs: 20 })
    health.serve()
    const report = await health.report()
    assert.equal(report.status, 'degraded')
    assert.equal(report.checks.storage.reason, 'timeout')
    assert.equal(signal?.aborted, true)
  })

  test('a probe that throws at once is down, nothing rejects', async () => {
    const throwing: Probe = {
      driver: 's3',
      ping() {
        throw new Error('bug')
      },
    }
    const { health } = setup({ storage: throwing })
    assert.equal((await health.report()).checks.storage.state, 'down')
  })

  test('many callers share one look, for a second', async () => {
    let asked = 0
    const counting: Probe = {
      driver: 'postgres',
      async ping() {
        asked += 1
      },
    }
    const { health, clock } = setup({ database: counting })
    await Promise.all([health.report(), health.report(), health.report()])
    clock.ms += 999
    await health.report()
    assert.equal(asked, 1)
    clock.ms += 1
    await health.report()
    assert.equal(asked, 2)
  })

  test('a cached look shows the phase of now', async () => {
    const { health } = setup()
    health.serve()
    await health.report()
    health.drain()
    const report = await health.report()
    assert.deepEqual([report.status, report.checks.application.state], ['draining', 'draining'])
  })

  test('changes are told once each', async () => {
    let away = false
    const flapping: Probe = { driver: 'redis', ping: async () => (away ? Promise.reject(new Error('gone')) : 'PONG') }
    const { health, clock, changes } = setup({ redis: flapping })
    for (const state of [false, true, true, false, false]) {
      away = state
      clock.ms += 1000
      await health.report()
    }
    assert.deepEqual(changes, ['redis down gone', 'redis up null'])
  })
})

test('memory: told when the threshold is passed, again only after it was calm', () => {
  mock.timers.enable({ apis: ['setInterval'] })
  try {
    let resident = 0
    const told: number[] = []
    const stop = watchMemory({
      limitBytes: 1000,
      threshold: 0.8,
      everyMs: 10,
      residentBytes: () => resident,
      onHigh: ({ residentBytes }) => void told.push(residentBytes),
    })
    for (resident of [799, 800, 900, 790, 850, 700, 801]) mock.timers.tick(10)
    stop()
    resident = 100
    mock.timers.tick(10)
    resident = 999
    mock.timers.tick(10)
    assert.deepEqual(told, [800, 801])
  } finally {
    mock.timers.reset()
  }
})
