import { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { UploadError } from '../../uploads/errors.ts'
import { newUploadId } from '../../uploads/id.ts'
import type {
  ByteRange,
  ByteStore,
  LinkOptions,
  ObjectOptions,
  Piece,
  StoredObject,
  WriteOptions,
} from '../../uploads/ports/byte-store.ts'
import type { Inventory, ListedMultipart, ListedObject } from '../../uploads/ports/housekeeping.ts'
import type { Part } from '../../uploads/words.ts'
import { bucketExists, ensureBucket, lacksBucket, pingBucket, pingStore } from './bucket.ts'
import { checkBucket } from './bucket-checks.ts'
import type { BucketFinding, OurKeys } from './bucket-rules.ts'
import {
  type Completed,
  complete,
  copyPart,
  expecting,
  listPage,
  listParts,
  quotedEtag,
  removeBatch,
  type Target,
} from './calls.ts'
import type { S3Clients } from './client.ts'
import { S3Connections } from './connections.ts'
import type { HotPath } from './hot-path.ts'
import { listMultiparts, listObjects } from './inventory.ts'
import type { Links } from './links.ts'
import { type Marks, marksOf } from './marks.ts'
import { type S3Options, type S3Settings, s3Settings } from './options.ts'
import { storeRead } from './read.ts'
import { withRetries } from './retry.ts'
import { checkWrites } from './write-check.ts'

const MIB = 1024 * 1024
const DELETE_BATCH = 1000
/** What is written to see what the store makes of it. */
const CHECKED: Piece = { body: { chunks: [Buffer.from('check')], length: 5 }, crc32: crc32(Buffer.from('check')) }

/** Bytes in any S3-compatible store: PutObject and UploadPart by the hot path, everything else by the SDK. */
export class S3ByteStore implements ByteStore, Inventory {
  readonly minPartBytes = 5 * MIB
  readonly maxParts = 10_000
  readonly maxObjectBytes = 5 * MIB * MIB
  readonly bucket: string
  readonly equalParts: boolean
  readonly #settings: S3Settings
  readonly #connections: S3Connections
  readonly #clients: S3Clients
  readonly #target: Target
  readonly #marks: Marks
  readonly #hot: HotPath
  #links: Links | null = null

  /** `connections`: those of another store of the same options, where only bucket and tags differ. */
  constructor(options: S3Options, connections?: S3Connections) {
    const settings = s3Settings(options)
    this.#settings = settings
    this.bucket = settings.bucket
    this.equalParts = settings.equalParts
    this.#connections = connections ?? new S3Connections(settings)
    this.#clients = this.#connections.clients
    this.#marks = marksOf(settings.marks)
    this.#target = this.#targetOf(this.#clients.control)
    this.#hot = this.#connections.hotPath(settings.bucket, this.#marks)
  }

  #targetOf(client: S3Client): Target {
    return { client, bucket: this.bucket, marks: this.#marks }
  }

  /**
   * At the start: throws `BucketMissing` when the bucket does not exist and `create` is false, `store_unavailable`
   * when the store is away.
   */
  ensureBucket(create: boolean): Promise<void> {
    return ensureBucket(this.#target, this.#settings.region, this.#settings.endpoint ?? 'AWS', create)
  }

  /** What the bucket's own configuration does to uploads. Throws `store_unavailable` while the store is away. */
  async check(keys: OurKeys): Promise<BucketFinding[]> {
    const { encryption } = this.#settings.marks
    const found = await checkBucket(this.#target, keys)
    if (this.#marks.object.length === 0) return found
    // Like a tail of an upload that is not there: should it stay, the sweeper takes it.
    const id = newUploadId()
    const key = `${keys.tails}${id.slice(-2)}/${id}/0-0-0-${CHECKED.body.length}`
    const put = () => this.putObject(key, CHECKED)
    return [...found, ...(await checkWrites(this.#target, encryption, key, put))]
  }

  /** Runs what may be the first call in this bucket: where that is wanted, it is created. */
  async #inBucket<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      if (!lacksBucket(error)) throw error
      if (!this.#settings.createWhenNeeded) {
        const advice = 'Create it, or set S3_CREATE_BUCKET=true where each tenant has one.'
        const message = `The bucket "${this.bucket}" does not exist. ${advice}`
        throw new UploadError('store_unavailable', message, { cause: error })
      }
      await this.ensureBucket(true)
      return call()
    }
  }

  async putObject(key: string, piece: Piece, options: ObjectOptions = {}): Promise<StoredObject> {
    const put = () => withRetries(`PutObject ${key}`, () => this.#hot.putObject(key, piece, options), options)
    const etag = await this.#inBucket(put)
    return { key, bytes: piece.body.length, etag: quotedEtag(etag) }
  }

  createMultipart(key: string, _partBytes: number, options: ObjectOptions = {}): Promise<string> {
    const { contentType, signal } = options
    const command = new CreateMultipartUploadCommand({
      Bucket: this.bucket,
      Key: key,
      // Asked for here, or no store checks a CRC-32 of the whole object at the Complete.
      ChecksumAlgorithm: 'CRC32',
      ChecksumType: 'FULL_OBJECT',
      ...(contentType === undefined ? {} : { ContentType: contentType }),
      ...this.#marks.create,
    })
    const attempt = async (): Promise<string> => {
      const { UploadId } = await this.#clients.control.send(command, signal ? { abortSignal: signal } : {})
      if (UploadId) return UploadId
      throw new UploadError('internal', `S3 CreateMultipartUpload ${key} answered without an upload id`)
    }
    return this.#inBucket(() => withRetries(`CreateMultipartUpload ${key}`, attempt, options))
  }

  async uploadPart(
    key: string,
    multipartId: string,
    number: number,
    piece: Piece,
    options: WriteOptions = {},
  ): Promise<Part | null> {
    const attempt = (): Promise<string | null> =>
      expecting(this.#hot.uploadPart(key, multipartId, number, piece, options), { NoSuchUpload: null })
    const etag = await withRetries(`UploadPart ${number} of ${key}`, attempt, options)
    return etag === null ? null : { number, bytes: piece.body.length, etag: quotedEtag(etag), crc32: piece.crc32 }
  }

  copyPart(
    key: string,
    multipartId: string,
    number: number,
    source: { readonly key: string; readonly range: ByteRange },
    options: WriteOptions = {},
  ): Promise<Part | null> {
    const target = this.#targetOf(this.#clients.patient)
    const attempt = (): Promise<Part | null> => copyPart(target, key, multipartId, number, source, options.signal)
    return withRetries(`UploadPartCopy ${number} of ${key}`, attempt, options)
  }

  listParts(key: string, multipartId: string): Promise<Part[] | null> {
    return listParts(this.#target, key, multipartId, (attempt) => withRetries(`ListParts ${key}`, attempt))
  }

  async completeMultipart(
    key: string,
    multipartId: string,
    parts: readonly Part[],
    whole: { readonly bytes: number; readonly crc32: number | null },
    options: WriteOptions = {},
  ): Promise<Completed> {
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
    if (parts.length === 0 || bytes !== whole.bytes) return 'invalid-part'
    const target = this.#targetOf(this.#clients.patient)
    const attempt = (): Promise<Completed> => complete(target, key, multipartId, parts, whole, options.signal)
    return withRetries(`CompleteMultipartUpload ${key}`, attempt, options)
  }

  async abortMultipart(key: string, multipartId: string): Promise<void> {
    const command = new AbortMultipartUploadCommand({ Bucket: this.bucket, Key: key, UploadId: multipartId })
    const attempt = (): Promise<unknown> => expecting(this.#clients.control.send(command), { NoSuchUpload: null })
    await withRetries(`AbortMultipartUpload ${key}`, attempt)
  }

  head(key: string): Promise<StoredObject | null> {
    const command = new HeadObjectCommand({ Bucket: this.bucket, Key: key, ...this.#marks.customer })
    return withRetries(`HeadObject ${key}`, async () => {
      const missing = { NotFound: null, NoSuchKey: null } as const
      const answer = await expecting(this.#clients.control.send(command), missing)
      if (answer !== null) return { key, bytes: answer.ContentLength ?? 0, etag: quotedEtag(answer.ETag) }
      // A HEAD does not say what is missing, and "no object" may end an upload as lost: make sure of the bucket.
      if (await bucketExists(this.#target)) return null
      throw new UploadError('store_unavailable', `The bucket "${this.bucket}" does not exist`)
    })
  }

  async read(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Readable | null> {
    const command = new GetObjectCommand({
      Bucket: this.bucket,
      Key: key,
      ...(range ? { Range: `bytes=${range.first}-${range.last}` } : {}),
      ...this.#marks.customer,
    })
    const attempt = () =>
      expecting(this.#clients.reads.send(command, signal ? { abortSignal: signal } : {}), { NoSuchKey: null })
    const answer = await withRetries(`GetObject ${key}`, attempt, signal ? { signal } : {})
    if (answer === null) return null
    if (!(answer.Body instanceof Readable)) throw new UploadError('internal', `S3 GetObject ${key} answered no stream`)
    return storeRead(answer.Body, key, this.#settings.readHighWaterMark, this.#settings.requestTimeoutMs)
  }

  link(key: string, options: LinkOptions): Promise<string> {
    this.#links ??= this.#connections.links(this.bucket)
    return this.#links.to(key, options)
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    let token: string | undefined
    do {
      const list = () => withRetries(`ListObjectsV2 ${prefix}`, () => listPage(this.#target, prefix, token))
      const page = await this.#inBucket(list)
      yield* page.objects
      token = page.next
    } while (token !== undefined)
  }

  objects(prefix: string, after: string): AsyncGenerator<ListedObject> {
    return listObjects(this.#target, prefix, after)
  }

  multiparts(prefix: string): AsyncGenerator<ListedMultipart> {
    return listMultiparts(this.#target, prefix)
  }

  async remove(keys: readonly string[]): Promise<void> {
    for (let from = 0; from < keys.length; from += DELETE_BATCH) {
      const batch = keys.slice(from, from + DELETE_BATCH)
      await withRetries('DeleteObjects', () => removeBatch(this.#target, batch))
    }
  }

  ping(signal?: AbortSignal): Promise<void> {
    return this.#settings.anyBucket ? pingStore(this.#target, signal) : pingBucket(this.#target, signal)
  }

  /** Closes the connections, which other stores may share. */
  async close(): Promise<void> {
    this.#connections.close()
  }
}
