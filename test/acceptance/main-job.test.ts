/**
 * The main job, end to end: tus-js-client with its default retries sends a real file of more than 100 MB in 1 MiB
 * chunks while connections are cut and a process is killed in mid-chunk. The client must report no failure, the
 * stored object must be the file, the row `available`, the finish recorded once and its job done once.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startBalancer } from '../support/balancer.ts'
import { freshDataDir, freshWorld, type RunningService, startService } from '../support/service.ts'
import { assertDone, available, FILE_SIZE, MIB, send, sha256, source } from './support/main-job.ts'

const ENV = { MAX_FILE_SIZE: String(512 * MIB) }

describe('the main job', () => {
  test('two instances on real Redis, Postgres and S3: three cuts and a kill -9 in mid-chunk', {
    timeout: 240_000,
  }, async (t) => {
    assert.ok(FILE_SIZE > 100_000_000, 'the file is a real one of 100 MB or more')
    const world = await freshWorld()
    const start = () => startService({ mode: 'production', env: { ...world.env, ...ENV } })
    const instances: RunningService[] = [await start(), await start()]
    const balancer = await startBalancer(instances.map(({ url }) => url))
    t.after(async () => {
      await balancer.close()
      await Promise.all(instances.map((instance) => instance.kill()))
      await world.remove()
    })

    const faults = [
      balancer.cut({ afterBytes: 300_000, skip: 9 }),
      balancer.cut({ afterBytes: 777_777, skip: 12 }),
      balancer.when({ afterBytes: 500_000, skip: 12 }, ({ target }) => void instances[target]?.kill()),
      balancer.cut({ afterBytes: 1, skip: 20 }),
    ] as const
    const path = await send(balancer.url)
    const [first, second, killed, third] = await Promise.all(faults)
    assert.deepEqual([first?.wasCut, second?.wasCut, third?.wasCut], [true, true, true])
    const dead = instances[killed?.target ?? -1]
    const alive = instances.find((instance) => instance !== dead)
    assert.ok(dead && alive)
    assert.equal((await dead.exited).signal, 'SIGKILL')
    await assertDone(alive.url, path, world)
  })

  test('the embedded mode: a kill -9 in mid-upload and a new start', { timeout: 180_000 }, async (t) => {
    const data = await freshDataDir()
    const env = { DATA_DIR: data.dir, ...ENV }
    let service = await startService({ mode: 'embedded', env })
    const balancer = await startBalancer([service.url])
    t.after(async () => {
      await balancer.close()
      await service.kill()
      await data.remove()
    })
    const killed = balancer.when({ afterBytes: 500_000, skip: 40 }, () => {
      void service.kill().then(async () => {
        service = await startService({ mode: 'embedded', env, port: service.port })
      })
    })
    // PGlite may take a while to start on a busy machine: the client waits longer than it would by itself.
    const path = await send(balancer.url, { retryDelays: Array.from({ length: 60 }, () => 1000) })
    await killed
    const expected = await sha256(source())
    const download = await fetch(`${service.url}${path}`)
    assert.ok(download.body)
    assert.equal(await sha256(download.body), expected)
    assert.deepEqual(await available(service.url, path), { state: 'available', sha256: expected })
  })
})
