/** Instances that die, stop, lose Redis' memory or want the same upload: the file comes through, finished once. */
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { BACKENDS, type Backend, productionBackend, type Service, storeNamed } from './support/backend.ts'
import { gateTo } from './support/gate.ts'
import { cameThrough, resume } from './support/outcome.ts'
import { eventually, patchHeaders, sampleBytes } from './support/tus.ts'
import { embeddedEvents } from './support/views.ts'
import { Wire } from './support/wire.ts'

/** Bytes of bodies that the service has read so far. */
async function received({ tus }: Service): Promise<number> {
  const text = await (await fetch(`${tus.origin}/metrics`)).text()
  return Number(/^upload_received_bytes_total (\d+)/m.exec(text)?.[1])
}

const MIB = 1024 * 1024
/** A full part and a half: parts and tails are both in play. */
const BYTES = sampleBytes(12 * MIB, 'faults')
const STOP_WITHIN_MS = 15_000

/** Writes `bytes` in pieces of 256 KiB with a pause between, as a slow client would. */
async function flow(wire: Wire, bytes: Buffer, pauseMs: number): Promise<void> {
  for (let at = 0; at < bytes.length && !wire.socket.destroyed; at += MIB / 4) {
    wire.write(bytes.subarray(at, at + MIB / 4))
    await sleep(pauseMs)
  }
}

async function flowing(service: Service, path: string, offset: number): Promise<Wire> {
  const wire = await Wire.open(service.origin)
  wire.head('PATCH', path, patchHeaders(offset, { 'Content-Length': String(BYTES.length - offset) }))
  return wire
}

for (const { name, open } of BACKENDS) {
  describe(`a process that ends: ${name}`, () => {
    let backend: Backend
    before(async () => {
      backend = await open()
    })
    after(() => backend?.close())

    test('ROB-05 kill -9 in mid PATCH, a new process on the same state', async () => {
      const service = await backend.start()
      const path = await service.tus.createWith(BYTES.length, BYTES.subarray(0, 2 * MIB))
      const wire = await flowing(service, path, 2 * MIB)
      await flow(wire, BYTES.subarray(2 * MIB, 11 * MIB), 10)
      const known = await service.tus.offset(path)
      await service.kill()
      await wire.closed
      const next = await service.again()
      assert.ok((await next.tus.offset(path)) >= known, 'acknowledged bytes are gone')
      await resume(next, path, BYTES)
      await cameThrough(backend, next, path, BYTES)
      assert.equal(await next.stop(), 0)
    })

    test('ROB-45 SIGTERM in mid PATCH: the bytes are kept and the exit is clean', async () => {
      const service = await backend.start()
      const path = await service.tus.create({ length: BYTES.length })
      const wire = await flowing(service, path, 0)
      const before = await received(service)
      await flow(wire, BYTES.subarray(0, 9 * MIB), 5)
      await eventually(async () => (await received(service)) >= before + 9 * MIB, 'what was sent has arrived', 30_000)
      const asked = Date.now()
      assert.equal(await service.stop(), 0)
      assert.ok(Date.now() - asked < STOP_WITHIN_MS, `${Date.now() - asked} ms`)
      await wire.closed
      const next = await service.again()
      assert.equal(await next.tus.offset(path), 9 * MIB)
      await resume(next, path, BYTES)
      await cameThrough(backend, next, path, BYTES)
      assert.equal(await next.stop(), 0)
    })

    test('kill -9 right after the last byte: the finish is driven on', async () => {
      const service = await backend.start()
      const path = await service.tus.createWith(BYTES.length, BYTES.subarray(0, 11 * MIB))
      const wire = await flowing(service, path, 11 * MIB)
      wire.write(BYTES.subarray(11 * MIB))
      await sleep(5)
      await service.kill()
      const next = await service.again()
      await resume(next, path, BYTES)
      await cameThrough(backend, next, path, BYTES)
      assert.equal(await next.stop(), 0)
    })

    // In production the outbox was read while the service ran.
    if (name !== 'embedded') return
    test('each of these uploads has one event of each kind', async () => {
      const events = await embeddedEvents(backend.env.DATA_DIR ?? '')
      assert.equal(events.size, 3)
      for (const types of events.values()) {
        assert.equal(types[0], 'upload.created')
        for (const type of ['upload.uploaded', 'upload.processing', 'upload.available']) {
          assert.equal(types.filter((one) => one === type).length, 1, `${type} in ${types}`)
        }
      }
    })
  })
}

describe('a stop that hangs', () => {
  test('a second signal ends it at once', async () => {
    const s3 = storeNamed('seaweedfs')
    const gate = await gateTo(s3.endpoint)
    const backend = await productionBackend(s3)
    try {
      const service = await backend.start({ S3_ENDPOINT: gate.url(s3.endpoint) })
      const path = await service.tus.create({ length: BYTES.length })
      await service.tus.stalled(path, 0, BYTES.length, BYTES.subarray(0, MIB))
      await sleep(200)
      gate.hang()
      service.signal('SIGTERM')
      await sleep(1000)
      const asked = Date.now()
      service.signal('SIGTERM')
      await service.exited
      assert.ok(Date.now() - asked < 2000, `${Date.now() - asked} ms`)
    } finally {
      await gate.close()
      await backend.close()
    }
  })
})

describe('two instances', () => {
  let backend: Backend
  let one: Service
  let two: Service
  before(async () => {
    backend = await productionBackend(storeNamed('seaweedfs'))
    one = await backend.start()
    two = await backend.start()
  })
  after(() => backend?.close())
  const wires: Wire[] = []
  afterEach(() => {
    for (const wire of wires.splice(0)) wire.socket.destroy()
  })
  const open = async (service: Service, path: string, offset: number): Promise<Wire> => {
    const wire = await flowing(service, path, offset)
    wires.push(wire)
    return wire
  }

  test('HEAD on the other instance shows a flowing PATCH and does not cut it', async () => {
    const path = await one.tus.create({ length: BYTES.length })
    const wire = await open(one, path, 0)
    const sending = flow(wire, BYTES, 60)
    const seen: number[] = []
    for (let round = 0; round < 5; round++) {
      await sleep(400)
      seen.push(await two.tus.offset(path))
    }
    await sending
    assert.equal((await wire.answer('PATCH')).status, 204)
    assert.deepEqual(
      seen,
      [...seen].sort((a, b) => a - b),
    )
    assert.ok((seen.at(-1) ?? 0) > (seen[0] ?? 0), `${seen}`)
    await cameThrough(backend, two, path, BYTES)
  })

  test('fifty HEADs at once on both instances do not cut a flowing PATCH', async () => {
    const path = await one.tus.create({ length: BYTES.length })
    const wire = await open(one, path, 0)
    const sending = flow(wire, BYTES, 40)
    await sleep(500)
    const asked = Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? one : two).tus.head(path))
    for (const { status, headers } of await Promise.all(asked)) {
      assert.ok(status === 200 || status === 423, `${status}`)
      if (status === 200) assert.ok(Number(headers['upload-offset']) <= BYTES.length)
    }
    await sending
    assert.equal((await wire.answer('PATCH')).status, 204)
    await cameThrough(backend, two, path, BYTES)
  })

  test('a PATCH on the other instance takes over, the old one hears 423 or is closed', async () => {
    const path = await one.tus.create({ length: BYTES.length })
    const old = await open(one, path, 0)
    old.write(BYTES.subarray(0, 10 * MIB))
    await eventually(async () => (await two.tus.offset(path)) === 10 * MIB, 'ten MiB')
    const next = await two.tus.patch(path, 10 * MIB, BYTES.subarray(10 * MIB))
    assert.equal(next.status, 204, next.body.toString())
    const heard = await old.answer('PATCH').catch(() => null)
    if (heard) {
      assert.equal(heard.status, 423)
      assert.ok(Number(heard.headers['retry-after']) >= 0)
    }
    await old.closed
    await cameThrough(backend, one, path, BYTES)
  })

  test('a running PATCH yields to one elsewhere, and nothing of it comes after', async () => {
    const path = await one.tus.create({ length: BYTES.length })
    const old = await open(one, path, 0)
    void flow(old, BYTES, 100)
    await sleep(800)
    const started = Date.now()
    await resume(two, path, BYTES)
    assert.ok(Date.now() - started < 15_000, `${Date.now() - started} ms`)
    await cameThrough(backend, two, path, BYTES)
  })

  test('a stalled body is cut by a HEAD elsewhere after a second, its bytes show', async () => {
    const path = await one.tus.create({ length: BYTES.length })
    const old = await open(one, path, 0)
    old.write(BYTES.subarray(0, 9 * MIB + 17))
    await sleep(1500)
    const head = await two.tus.head(path)
    assert.equal(head.status, 200)
    assert.equal(head.headers['upload-offset'], String(9 * MIB + 17))
    await old.closed
    await resume(two, path, BYTES)
    await cameThrough(backend, one, path, BYTES)
  })

  test('all that Redis knew is lost in mid PATCH', async () => {
    const path = await one.tus.createWith(BYTES.length, BYTES.subarray(0, MIB))
    const wire = await open(one, path, MIB)
    const sending = flow(wire, BYTES.subarray(MIB), 20)
    await sleep(500)
    const known = await two.tus.offset(path)
    await forgetRedis(backend)
    await sending
    await wire.answer('PATCH').catch(() => null)
    assert.ok((await two.tus.offset(path)) >= known, 'acknowledged bytes are gone')
    await resume(two, path, BYTES)
    await cameThrough(backend, two, path, BYTES)
  })

  test('all that Redis knew is lost between two PATCHes', async () => {
    const path = await one.tus.createWith(BYTES.length, BYTES.subarray(0, 9 * MIB))
    assert.equal((await one.tus.patch(path, 9 * MIB, BYTES.subarray(9 * MIB, 10 * MIB))).status, 204)
    await forgetRedis(backend)
    assert.equal(await two.tus.offset(path), 10 * MIB)
    await resume(one, path, BYTES)
    await cameThrough(backend, two, path, BYTES)
  })

  test('kill -9 of the instance that holds the upload: the other goes on within seconds', async () => {
    const third = await backend.start()
    const path = await third.tus.createWith(BYTES.length, BYTES.subarray(0, 2 * MIB))
    const wire = await open(third, path, 2 * MIB)
    await flow(wire, BYTES.subarray(2 * MIB, 10 * MIB), 10)
    await third.kill()
    const started = Date.now()
    await resume(two, path, BYTES)
    assert.ok(Date.now() - started < 12_000, `taken over after ${Date.now() - started} ms`)
    await cameThrough(backend, one, path, BYTES)
  })
})

/** What FLUSHALL would do, but for this test's service alone: others share the Redis. */
async function forgetRedis(backend: Backend): Promise<void> {
  const prefix = backend.env.REDIS_PREFIX ?? ''
  const redis = backend.insight?.redis
  assert.ok(redis)
  assert.notEqual(prefix, '')
  const keys = await redis.keys(`*${prefix}*`)
  assert.ok(keys.length > 0, 'there was nothing to forget')
  await redis.unlink(...keys)
}
