/** Encryption by the service: what the bucket shows, what a download gives. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import { launch, launchServer } from '../../support/launch.ts'
import type { Env } from '../../support/service.ts'
import { s3Client } from '../../support/services.ts'
import { eventually, idOf, sampleBytes, sha256, Tus } from '../support/tus.ts'
import { events, metric, type Stage, shows } from './stage.ts'

const KIB = 1024

export function encryptionSettings(): void {
  shows(
    'ENCRYPTION_KEYS ENCRYPT_NEW_UPLOADS',
    'what the store can read, and what opens with which key',
    async (stage) => {
      const [one, two] = [newKey('one'), newKey('two')]
      const bucket = bucketOf(stage)
      const bytes = sampleBytes(300 * KIB, 'secret')
      const first = await stage.start({ ENCRYPTION_KEYS: one })
      const path = await new Tus(first.url).create({ length: bytes.length, body: bytes })
      await isAvailable(first.url, path, bytes)
      assert.equal(await bucket.shows(path, bytes), false, 'nothing of the file shows')
      assert.deepEqual(await range(first.url, path, 70_000, 140_000), bytes.subarray(70_000, 140_001))

      // A byte of the fourth frame: the ones before it arrive, then the connection breaks.
      const { key, stored } = await bucket.objectOf(path)
      await bucket.put(key, flipped(stored, 40 + 3 * 65_552 + 1000))
      const broken = await received(first.url, path)
      assert.equal(broken.whole, false)
      assert.ok(broken.bytes.equals(bytes.subarray(0, broken.bytes.length)), 'no wrong byte')
      assert.ok(broken.bytes.length <= 3 * 65_536)
      assert.equal(await metric(first, 'storage_damaged_total'), 1)
      await eventually(async () => events(first, 'storage.damaged').length > 0, 'the log names it')
      const [line] = events(first, 'storage.damaged')
      assert.deepEqual([line?.uploadId, line?.key], [idOf(path), key])
      await bucket.put(key, flipped(stored, 41))
      assert.equal((await received(first.url, path)).bytes.length, 0, 'no byte at all')
      await bucket.put(key, stored)
      await first.stop()

      const both = await stage.start({ ENCRYPTION_KEYS: `${two},${one}` })
      await isAvailable(both.url, path, bytes)
      assert.match(
        await rewrap(stage, { ENCRYPTION_KEYS: `${two},${one}` }, 1, ['--check']),
        /"one" is needed by 1 uploads/,
      )
      assert.match(await rewrap(stage, { ENCRYPTION_KEYS: `${two},${one}` }, 0), /wrapped the data keys of 1 uploads/)
      await both.stop()
      const off = await stage.start({ ENCRYPTION_KEYS: two, ENCRYPT_NEW_UPLOADS: 'false' })
      await isAvailable(off.url, path, bytes)
      const plain = await new Tus(off.url).create({ length: bytes.length, body: bytes })
      assert.equal(await bucket.shows(plain, bytes), true, 'not encrypted any more')
      await off.stop()

      for (const env of [{ DOWNLOADS: 'redirect' }, { ENCRYPTION_KEYS: `${one},one:abc` }]) {
        const wrong = launchServer({ ...stage.world.env, ENCRYPTION_KEYS: one, PORT: '0', ...env })
        assert.equal(await wrong.ends(), 1)
        assert.match(wrong.output(), /ENCRYPTION_KEYS/)
        assert.ok(!wrong.output().includes(one.slice(4)), 'a key is never shown')
      }
    },
  )
}

function newKey(id: string): string {
  return `${id}:${randomBytes(32).toString('base64')}`
}

function flipped(bytes: Buffer, place: number): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeUInt8(copy.readUInt8(place) ^ 1, place)
  return copy
}

/** What a download gives until it ends, well or not. */
async function received(url: string, path: string): Promise<{ bytes: Buffer; whole: boolean }> {
  const chunks: Uint8Array[] = []
  try {
    const answer = await fetch(`${url}${path}`)
    for await (const chunk of answer.body ?? []) chunks.push(chunk)
    return { bytes: Buffer.concat(chunks), whole: answer.ok }
  } catch {
    return { bytes: Buffer.concat(chunks), whole: false }
  }
}

async function range(url: string, path: string, first: number, last: number): Promise<Buffer> {
  const answer = await fetch(`${url}${path}`, { headers: { Range: `bytes=${first}-${last}` } })
  assert.equal(answer.status, 206)
  return Buffer.from(await answer.arrayBuffer())
}

/** Post-processing read it back, and a download gives it. */
async function isAvailable(url: string, path: string, bytes: Buffer): Promise<void> {
  const tus = new Tus(url)
  await eventually(async () => (await tus.info(path)).state === 'available', `${path} is available`)
  assert.equal((await tus.info(path)).sha256, sha256(bytes))
  assert.equal((await tus.info(path)).length, bytes.length)
  await tus.contentIs(path, bytes)
}

async function rewrap(stage: Stage, env: Env, code: number, args: readonly string[] = []): Promise<string> {
  const { DATABASE_URL } = stage.world.env
  const run = launch(process.execPath, ['scripts/keys.ts', ...args], { env: { DATABASE_URL, ...env } })
  assert.equal(await run.ends(), code, run.output())
  return run.output()
}

/** The bucket as whoever has its credentials sees it. */
function bucketOf(stage: Stage) {
  const client = s3Client(stage.world.s3)
  const Bucket = stage.world.bucket
  stage.later(() => client.destroy())
  const objectOf = async (path: string): Promise<{ key: string; stored: Buffer }> => {
    const { Contents } = await client.send(new ListObjectsV2Command({ Bucket }))
    const key = Contents?.map(({ Key }) => Key ?? '').find((name) => name.includes(idOf(path)))
    assert.ok(key)
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: key }))
    return { key, stored: Buffer.from((await Body?.transformToByteArray()) ?? []) }
  }
  return {
    objectOf,
    put: (Key: string, Body: Buffer) => client.send(new PutObjectCommand({ Bucket, Key, Body })),
    async shows(path: string, bytes: Buffer): Promise<boolean> {
      const { stored } = await objectOf(path)
      const places = Array.from({ length: 300 }, (_, n) => n * 1000)
      return places.some((at) => stored.includes(bytes.subarray(at, at + 16)))
    },
  }
}
