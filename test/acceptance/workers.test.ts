/** WORKERS: several processes of one instance that share a port, seen as one from outside. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { get, type IncomingMessage, request } from 'node:http'
import { buffer, text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freshDataDir, freshWorld, type RunningService, startService, type World } from '../support/service.ts'
import { clientOf } from './support/client.ts'

const MIB = 1024 * 1024

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

/** On a connection of its own: one that is kept alive would belong to a worker that may be killed. */
async function textOf(url: string): Promise<string> {
  const asking = get(url, { agent: false, headers: { Connection: 'close' } })
  const [answer]: IncomingMessage[] = await once(asking, 'response')
  assert.ok(answer)
  return text(answer)
}

async function metric(url: string, name: string): Promise<number> {
  const page = await textOf(`${url}/metrics`)
  const line = page.split('\n').find((one) => one.startsWith(`${name} `))
  assert.ok(line, `no ${name} in the metrics`)
  return Number(line.split(' ')[1])
}

/** The values of so many scrapes, each on a connection of its own so that every process gets some. */
async function scrapes(url: string, name: string, count: number): Promise<number[]> {
  const values: number[] = []
  for (let index = 0; index < count; index++) values.push(await metric(url, name))
  return values
}

describe('WORKERS=4', () => {
  let world: World
  let service: RunningService

  before(async () => {
    world = await freshWorld()
    service = await startService({
      mode: 'production',
      env: { ...world.env, WORKERS: '4', DB_POOL_MAX: '5', MEMORY_LIMIT_MB: '2048', MAX_FILE_SIZE: String(64 * MIB) },
    })
    while (childrenOf(service.pid).length < 4) await sleep(50)
  })
  after(async () => {
    await service.kill('SIGTERM')
    await world.remove()
  })

  const create = async () => {
    const headers = { 'Tus-Resumable': '1.0.0', 'Upload-Length': '5', Connection: 'close' }
    const posting = request(`${service.url}/api/v1/uploads`, { method: 'POST', headers, agent: false }).end()
    const [answer]: IncomingMessage[] = await once(posting, 'response')
    assert.equal(answer?.statusCode, 201)
    answer?.resume()
  }

  test('1,000 creates read 1,000 in each of 20 scrapes, also after a worker was killed', {
    timeout: 120_000,
  }, async () => {
    for (let round = 0; round < 50; round++) await Promise.all(Array.from({ length: 20 }, create))
    assert.deepEqual(await scrapes(service.url, 'upload_created_total', 20), Array(20).fill(1000))
    const [victim] = childrenOf(service.pid)
    assert.ok(victim)
    process.kill(victim, 'SIGKILL')
    assert.deepEqual(await scrapes(service.url, 'upload_created_total', 20), Array(20).fill(1000))
    const replaced = () => childrenOf(service.pid).length === 4 && !childrenOf(service.pid).includes(victim)
    const deadline = Date.now() + 30_000
    while (!replaced() && Date.now() < deadline) await sleep(50)
    assert.ok(replaced(), 'another worker took its place')
    assert.deepEqual(await scrapes(service.url, 'upload_created_total', 20), Array(20).fill(1000))
    await create()
    assert.equal(await metric(service.url, 'upload_created_total'), 1001)
  })

  test('memory percent is that of the largest process, not a sum', async () => {
    const percents = childrenOf(service.pid).map((pid) => (100 * residentBytes(pid)) / (2048 * MIB))
    const shown = await metric(service.url, 'memory_usage_percent')
    assert.ok(shown < percents.reduce((sum, one) => sum + one, 0) / 2, `${shown} of ${percents}`)
    assert.ok(shown > Math.max(...percents) / 2, `${shown} of ${percents}`)
  })

  test('the uploads of a killed worker go on', { timeout: 120_000 }, async () => {
    const bytes = Buffer.alloc(24 * MIB, 'upload')
    const run = clientOf(service.url, bytes, {
      chunkSize: MIB,
      onChunkComplete: (_size, accepted) => {
        if (accepted !== 4 * MIB && accepted !== 12 * MIB) return
        for (const pid of childrenOf(service.pid).slice(0, 3)) process.kill(pid, 'SIGKILL')
      },
    })
    run.upload.start()
    const path = await run.done
    const [download]: IncomingMessage[] = await once(get(`${service.url}${path}`, { agent: false }), 'response')
    assert.ok(download)
    assert.ok((await buffer(download)).equals(bytes))
  })

  test('SIGTERM ends all of them', async () => {
    const workers = childrenOf(service.pid)
    await service.kill('SIGTERM')
    assert.equal((await service.exited).code, 0)
    for (const pid of workers) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  })
})

test('embedded drivers are one process: more are refused with a sentence', async (t) => {
  const data = await freshDataDir()
  t.after(() => data.remove())
  const starting = startService({ mode: 'embedded', env: { DATA_DIR: data.dir, WORKERS: '2' } })
  await assert.rejects(starting, /WORKERS is 2, but .*COORDINATION=memory.* allows one process/)
})
