/**
 * What every byte store must do: one suite, run against each driver (test/integration/byte-store.test.ts). A new
 * store is done when this passes.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { combineCrc32s, crc32OfChunks } from '../uploads/crc32.ts'
import { hasCode } from '../uploads/errors.ts'
import type { ByteStore, Piece, StoredObject } from '../uploads/ports/byte-store.ts'
import type { Part } from '../uploads/words.ts'

const MIB = 1024 * 1024
/** The service's own part size; above every store's least. */
const P = 8 * MIB

/** A piece of the buffers, with its true CRC. */
export function piece(...chunks: Buffer[]): Piece {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  return { body: { chunks, length }, crc32: crc32OfChunks(chunks) }
}

/** The same bytes as the many chunks in which a socket delivers them. */
export function chunked(bytes: Buffer, size = 65_536): Piece {
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size))
  return piece(...chunks)
}

/** All bytes of an object or a range of it. */
export async function readAll(store: ByteStore, key: string, range?: { first: number; last: number }): Promise<Buffer> {
  const stream = await store.read(key, range)
  assert.ok(stream, `${key} is there`)
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export async function listed(store: ByteStore, prefix: string): Promise<StoredObject[]> {
  const found: StoredObject[] = []
  for await (const object of store.list(prefix)) found.push(object)
  return found.sort((a, b) => (a.key < b.key ? -1 : 1))
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
const sum = (parts: readonly Part[]): number => parts.reduce((bytes, part) => bytes + part.bytes, 0)

/** A store of its own for one run of the suite. */
export interface StoreUnderTest {
  readonly store: ByteStore
  readonly cleanup: () => Promise<void>
}

/**
 * Declares the suite for one driver. `takesCrc`: the CRC-32 of a piece is believed, because what is stored are other bytes
 * (encryption), and it is of them that the store below checks one.
 */
export function byteStoreContract(
  name: string,
  make: () => Promise<StoreUnderTest>,
  { takesCrc = false }: { readonly takesCrc?: boolean } = {},
): void {
  describe(`byte store contract: ${name}`, { concurrency: true }, () => {
    let store: ByteStore
    let cleanup: () => Promise<void>
    before(async () => {
      ;({ store, cleanup } = await make())
    })
    after(() => cleanup())

    objectTests(() => store)
    if (!takesCrc) crcTests(() => store)
    readTests(() => store)
    multipartTests(() => store)
    replacementTests(() => store)
    listTests(() => store)
  })
}

function objectTests(store: () => ByteStore): void {
  test('an object is what was put, also of no bytes and in several chunks', async () => {
    const bytes = randomBytes(10_240)
    const put = await store().putObject('put/one', chunked(bytes, 1000), { contentType: 'text/plain; charset=utf-8' })
    assert.equal(put.bytes, 10_240)
    assert.match(put.etag, /^"[^"]+"$/)
    assert.deepEqual(await store().head('put/one'), put)
    assert.deepEqual(await readAll(store(), 'put/one'), bytes)

    assert.equal((await store().putObject('put/empty', piece())).bytes, 0)
    assert.equal((await store().head('put/empty'))?.bytes, 0)
    assert.equal((await readAll(store(), 'put/empty')).length, 0)
  })

  test('putting a key again replaces the object whole', async () => {
    const first = await store().putObject('again/key', piece(Buffer.from('a longer first')))
    const second = await store().putObject('again/key', piece(Buffer.from('second')))
    assert.notEqual(first.etag, second.etag)
    assert.equal((await readAll(store(), 'again/key')).toString(), 'second')
  })

  test('unknown objects are null, and removing them is no failure', async () => {
    assert.equal(await store().head('nobody/here'), null)
    assert.equal(await store().read('nobody/here'), null)
    await store().putObject('remove/one', piece(Buffer.from('x')))
    await store().remove([])
    await store().remove(['nobody/here', 'remove/one', 'remove/never'])
    assert.equal(await store().head('remove/one'), null)
    await store().putObject('remove/one', piece(Buffer.from('y')))
    assert.equal((await readAll(store(), 'remove/one')).toString(), 'y')
  })

  test('a store that is there answers a ping', () => store().ping())

  test('a signal that was given before ends a call with its reason', async () => {
    const reason = new Error('enough')
    const signal = AbortSignal.abort(reason)
    await assert.rejects(store().putObject('signal/one', piece(Buffer.from('x')), { signal }), reason)
    assert.equal(await store().head('signal/one'), null)
  })
}

function crcTests(store: () => ByteStore): void {
  test('bytes that are not what their CRC-32 says are refused, and nothing is stored', async () => {
    const wrong = { ...piece(Buffer.from('hello')), crc32: 1 }
    await assert.rejects(store().putObject('wrong/object', wrong), (error) => hasCode(error, 'internal'))
    assert.equal(await store().head('wrong/object'), null)

    const id = await store().createMultipart('wrong/part', P)
    await assert.rejects(store().uploadPart('wrong/part', id, 1, wrong), (error) => hasCode(error, 'internal'))
    assert.deepEqual(await store().listParts('wrong/part', id), [])
    await store().abortMultipart('wrong/part', id)
  })
}

function readTests(store: () => ByteStore): void {
  test('ranges are inclusive', async () => {
    const bytes = randomBytes(200_000)
    await store().putObject('range/one', piece(bytes))
    for (const [first, last] of [
      [0, 0],
      [0, 199_999],
      [199_999, 199_999],
      [65_535, 65_536],
      [1, 150_000],
    ] as const) {
      assert.deepEqual(await readAll(store(), 'range/one', { first, last }), bytes.subarray(first, last + 1))
    }
  })

  test('streams that are destroyed, before the first byte or amid the bytes, leave room for others', async () => {
    const bytes = randomBytes(4 * MIB)
    await store().putObject('destroyed/one', piece(bytes))
    for (let i = 0; i < 40; i++) {
      const stream = await store().read('destroyed/one')
      assert.ok(stream)
      if (i % 2 === 0) await once(stream, 'readable')
      stream.destroy()
      await once(stream, 'close')
    }
    assert.equal(sha256(await readAll(store(), 'destroyed/one')), sha256(bytes))
  })

  test('a signal ends a running read', async () => {
    await store().putObject('aborted/one', piece(randomBytes(4 * MIB)))
    const controller = new AbortController()
    const stream = await store().read('aborted/one', undefined, controller.signal)
    assert.ok(stream)
    await once(stream, 'readable')
    const failed = once(stream, 'error')
    controller.abort()
    await failed
    assert.ok(stream.destroyed)
  })
}

function multipartTests(store: () => ByteStore): void {
  test('20 MiB in three parts, sent at once and out of order', async () => {
    const key = 'multi/large'
    const bytes = randomBytes(20 * MIB)
    const id = await store().createMultipart(key, P, { contentType: 'application/octet-stream' })
    const send = (number: number) =>
      store().uploadPart(key, id, number, chunked(bytes.subarray((number - 1) * P, number * P)))
    const sent = await Promise.all([send(3), send(1), send(2)])
    const parts = sent.filter((part) => part !== null).sort((a, b) => a.number - b.number)
    assert.deepEqual(
      parts.map(({ number, bytes: size }) => [number, size]),
      [
        [1, P],
        [2, P],
        [3, 4 * MIB],
      ],
    )
    const known = await store().listParts(key, id)
    assert.deepEqual(
      known?.map(({ number, bytes: size, etag }) => [number, size, etag]),
      parts.map(({ number, bytes: size, etag }) => [number, size, etag]),
    )
    for (const [index, part] of (known ?? []).entries()) {
      if (part.crc32 !== null) assert.equal(part.crc32, parts[index]?.crc32)
    }
    assert.equal(await store().head(key), null, 'no object before the end')

    const whole = { bytes: sum(parts), crc32: combineCrc32s(parts) }
    assert.equal(whole.crc32, crc32OfChunks([bytes]))
    assert.equal(await store().completeMultipart(key, id, parts, whole), 'done')
    assert.equal((await store().head(key))?.bytes, bytes.length)
    assert.equal(sha256(await readAll(store(), key)), sha256(bytes))
    assert.deepEqual(await readAll(store(), key, { first: P - 5, last: P + 5 }), bytes.subarray(P - 5, P + 6))
  })

  test('completing twice never harms the object, and a completed upload takes no more parts', async () => {
    const key = 'multi/twice'
    const id = await store().createMultipart(key, P)
    const part = await store().uploadPart(key, id, 1, piece(Buffer.from('only')))
    assert.ok(part)
    const whole = { bytes: 4, crc32: part.crc32 }
    assert.equal(await store().completeMultipart(key, id, [part], whole), 'done')
    assert.ok(['done', 'no-such-upload'].includes(await store().completeMultipart(key, id, [part], whole)))
    assert.equal((await readAll(store(), key)).toString(), 'only')
    assert.equal(await store().uploadPart(key, id, 1, piece(Buffer.from('late'))), null)
    assert.equal(await store().listParts(key, id), null)
    await store().abortMultipart(key, id)
    assert.equal((await readAll(store(), key)).toString(), 'only')
  })

  test('an aborted upload is gone for every verb', async () => {
    const key = 'multi/aborted'
    const id = await store().createMultipart(key, P)
    const part = await store().uploadPart(key, id, 1, piece(Buffer.from('gone')))
    assert.ok(part)
    await store().abortMultipart(key, id)
    await store().abortMultipart(key, id)
    assert.equal(await store().uploadPart(key, id, 2, piece(Buffer.from('late'))), null)
    assert.equal(await store().listParts(key, id), null)
    assert.equal(await store().completeMultipart(key, id, [part], { bytes: 4, crc32: null }), 'no-such-upload')
    assert.equal(await store().head(key), null)
  })

  test('a Complete that is not what was sent makes no object and can be corrected', async () => {
    const key = 'multi/invalid'
    const id = await store().createMultipart(key, P)
    const part = await store().uploadPart(key, id, 1, piece(Buffer.from('right')))
    assert.ok(part)
    const stranger = { ...part, etag: '"00000000000000000000000000000000"' }
    const whole = { bytes: 5, crc32: part.crc32 }
    assert.equal(await store().completeMultipart(key, id, [stranger], whole), 'invalid-part')
    assert.equal(await store().completeMultipart(key, id, [part], { ...whole, crc32: 7 }), 'invalid-part')
    assert.equal(await store().completeMultipart(key, id, [part], { ...whole, bytes: 6 }), 'invalid-part')
    assert.equal(await store().completeMultipart(key, id, [], { bytes: 0, crc32: 0 }), 'invalid-part')
    assert.equal(await store().head(key), null)
    assert.equal(await store().completeMultipart(key, id, [part], { ...whole, crc32: null }), 'done')
    assert.equal((await readAll(store(), key)).toString(), 'right')
  })
}

function replacementTests(store: () => ByteStore): void {
  test('a part that is sent again replaces the first, and is listed once', async () => {
    const key = 'multi/replaced'
    const id = await store().createMultipart(key, P)
    const [a, b, last] = [Buffer.alloc(P, 'a'), Buffer.alloc(P, 'b'), Buffer.from('tail')]
    const first = await store().uploadPart(key, id, 1, chunked(a))
    const second = await store().uploadPart(key, id, 1, chunked(b))
    const third = await store().uploadPart(key, id, 2, piece(last))
    assert.ok(first && second && third)
    assert.deepEqual(
      (await store().listParts(key, id))?.map((part) => part.number),
      [1, 2],
    )
    const parts = [second, third]
    assert.equal(
      await store().completeMultipart(key, id, parts, { bytes: sum(parts), crc32: combineCrc32s(parts) }),
      'done',
    )
    assert.equal(sha256(await readAll(store(), key)), sha256(Buffer.concat([b, last])))
  })

  test('parts that the Complete leaves out are not in the object', async () => {
    const key = 'multi/shorter'
    const id = await store().createMultipart(key, P)
    const first = await store().uploadPart(key, id, 1, piece(Buffer.from('kept')))
    assert.ok(first)
    await store().uploadPart(key, id, 2, piece(Buffer.from('left out')))
    assert.equal(await store().completeMultipart(key, id, [first], { bytes: 4, crc32: first.crc32 }), 'done')
    assert.equal((await readAll(store(), key)).toString(), 'kept')
  })
}

function listTests(store: () => ByteStore): void {
  test('a listing has every key of a prefix and no other, beyond a page; so has a removal', async () => {
    const keys = Array.from({ length: 1005 }, (_, i) => `list/ab/id${String(i).padStart(4, '0')}/0-x`)
    const queue = [...keys, 'list/ac/other', 'list2/ab/other']
    const worker = async (): Promise<void> => {
      for (let key = queue.pop(); key; key = queue.pop()) await store().putObject(key, piece(Buffer.from(key)))
    }
    await Promise.all(Array.from({ length: 16 }, worker))
    const found = await listed(store(), 'list/ab/')
    assert.deepEqual(
      found.map((object) => object.key),
      keys,
    )
    assert.ok(found.every((object) => object.bytes === object.key.length && /^"[^"]+"$/.test(object.etag)))
    assert.deepEqual(
      (await listed(store(), 'list/ab/id000')).map((object) => object.key),
      keys.slice(0, 10),
    )
    assert.deepEqual(await listed(store(), 'list/nothing/'), [])

    await store().remove(keys)
    assert.deepEqual(await listed(store(), 'list/ab/'), [])
    assert.deepEqual(
      (await listed(store(), 'list')).map((object) => object.key),
      ['list/ac/other', 'list2/ab/other'],
    )
  })

  test('an open multipart upload is not listed as an object', async () => {
    const key = 'open/one'
    const id = await store().createMultipart(key, P)
    await store().uploadPart(key, id, 1, piece(Buffer.from('open')))
    assert.deepEqual(await listed(store(), 'open/'), [])
    await store().abortMultipart(key, id)
  })
}
