/** The ways an upload may come: each a client's whole exchange, to be walked along its S3 requests. */
import type { S3Operation } from '../../../support/s3-operations.ts'
import { sampleBytes } from '../../support/tus.ts'
import type { Client } from './client.ts'

const MIB = 1024 * 1024

export interface Shape {
  readonly name: string
  /** What the finished file must be. */
  readonly bytes: Buffer
  /** Requests that take their time. */
  readonly slow?: S3Operation
  /** Uploads it, come what may. Resolves with the finished upload's path. */
  readonly upload: (client: Client) => Promise<string>
}

const large = sampleBytes(17 * MIB + 5, 'walk-large')
const small = sampleBytes(9 * MIB + 77, 'walk-small')
const tiny = sampleBytes(10_240, 'walk-tiny')
const deferred = sampleBytes(9 * MIB + 1, 'walk-deferred')
/** One is copied in the store, the next is too small for a part and gathered. */
const pieces = [sampleBytes(9 * MIB + 3, 'walk-piece-1'), sampleBytes(MIB, 'walk-piece-2')]
const copied = [sampleBytes(6 * MIB, 'walk-copy-1'), sampleBytes(6 * MIB + 1, 'walk-copy-2')]

async function partial(client: Client, bytes: Buffer): Promise<string> {
  const path = await client.create({ length: bytes.length, headers: { 'Upload-Concat': 'partial' } })
  await client.complete(path, bytes, bytes.length)
  return path
}

async function concatenation(client: Client, parts: readonly Buffer[]): Promise<string> {
  const paths: string[] = []
  for (const bytes of parts) paths.push(await partial(client, bytes))
  return client.concatenate(paths)
}

export const ONE_LARGE_PATCH: Shape = {
  name: 'one large PATCH',
  bytes: large,
  async upload(client) {
    const path = await client.create({ length: large.length })
    await client.complete(path, large, large.length)
    return path
  },
}

export const SMALL_PATCHES: Shape = {
  name: '1 MiB PATCHes',
  bytes: small,
  async upload(client) {
    const path = await client.create({ length: small.length })
    await client.complete(path, small, MIB)
    return path
  },
}

export const TINY_POST: Shape = {
  name: 'a 10 KiB file in one POST',
  bytes: tiny,
  async upload(client) {
    const path = await client.create({ length: tiny.length, body: tiny })
    await client.complete(path, tiny, tiny.length)
    return path
  },
}

export const TINY_PATCH: Shape = {
  name: 'a 10 KiB file in a POST and a PATCH',
  bytes: tiny,
  async upload(client) {
    const path = await client.create({ length: tiny.length })
    await client.complete(path, tiny, tiny.length)
    return path
  },
}

export const DEFERRED: Shape = {
  name: 'a deferred length',
  bytes: deferred,
  async upload(client) {
    const path = await client.create({ defer: true })
    await client.complete(path, deferred, 4 * MIB, { deferred: true })
    return path
  },
}

export const WATCHED: Shape = {
  name: 'one large PATCH that HEADs look into',
  bytes: large,
  async upload(client) {
    const path = await client.create({ length: large.length })
    await client.completeWatched(path, large, 3 * MIB)
    return path
  },
}

export const CONCATENATION: Shape = {
  name: 'a concatenation',
  bytes: Buffer.concat(pieces),
  upload: (client) => concatenation(client, pieces),
}

export const LONG_CONCATENATION: Shape = {
  name: 'a concatenation that outlasts its request',
  bytes: Buffer.concat(copied),
  slow: 'UploadPartCopy',
  upload: (client) => concatenation(client, copied),
}

export const SHAPES: readonly Shape[] = [
  ONE_LARGE_PATCH,
  SMALL_PATCHES,
  TINY_POST,
  TINY_PATCH,
  DEFERRED,
  WATCHED,
  CONCATENATION,
  LONG_CONCATENATION,
]
