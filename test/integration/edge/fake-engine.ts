/** Test only: an engine that keeps uploads in memory, for tests of the HTTP edge. */
import { Readable } from 'node:stream'
import type { CreateRequest, Download, Engine, Incoming, Standing } from '../../../server/uploads/api.ts'
import { UploadError } from '../../../server/uploads/errors.ts'
import { newUploadId } from '../../../server/uploads/id.ts'
import { parseMetadata } from '../../../server/uploads/metadata.ts'
import type { Upload, UploadId } from '../../../server/uploads/words.ts'

interface Kept {
  upload: Upload
  bytes: Buffer
}

export interface FakeEngine extends Engine {
  /** The calls that were made, by name. */
  readonly calls: string[]
  /** The next call of this name fails like this; with `afterBody` once the body was read. */
  failNext(call: string, error: unknown): void
  /** What is stored of an upload. */
  bytesOf(id: string): Buffer | undefined
  count(): number
  /** A finished upload out of nowhere. */
  put(bytes: Buffer, values?: Partial<Upload>): Upload
  /** Replaces the stream of the next download. */
  nextStream: Readable | null
  /** Where the store has files, for links; null: it gives none. */
  store: string | null
}

export function createFakeEngine(maxBytes = 1_000_000): FakeEngine {
  const kept = new Map<string, Kept>()
  const failures = new Map<string, unknown>()
  const calls: string[] = []
  const enter = (call: string): void => {
    calls.push(call)
    const error = failures.get(call)
    failures.delete(call)
    if (error !== undefined) throw error
  }
  const find = (id: UploadId): Kept => {
    const found = kept.get(id)
    if (found === undefined) throw new UploadError('not_found', `There is no upload ${id}.`)
    if (found.upload.state === 'terminated') throw new UploadError('upload_gone', `Upload ${id} is terminated.`)
    return found
  }
  const put = (bytes: Buffer, values: Partial<Upload> = {}): Upload => {
    const upload = { ...blankUpload(bytes.length), ...values }
    kept.set(upload.id, { upload, bytes })
    return upload
  }
  const take = async (entry: Kept, request: Incoming): Promise<Standing> => {
    if (request.body !== null) {
      request.beforeBody?.()
      const room = (entry.upload.length ?? maxBytes) - entry.bytes.length
      const got = await readBody(request.body, room)
      entry.bytes = Buffer.concat([entry.bytes, got])
    }
    if (entry.bytes.length === entry.upload.length) entry.upload = { ...entry.upload, state: 'available' }
    return { upload: entry.upload, offset: entry.bytes.length }
  }
  const engine: FakeEngine = {
    maxBytes,
    calls,
    nextStream: null,
    store: null,
    failNext: (call, error) => failures.set(call, error),
    bytesOf: (id) => kept.get(id)?.bytes,
    count: () => kept.size,
    put,
    async create(principal, request: CreateRequest) {
      enter('create')
      if ((request.length ?? 0) > maxBytes) throw new UploadError('upload_too_large', 'Too long.')
      if ((request.bodyLength ?? 0) > (request.length ?? maxBytes))
        throw new UploadError('body_exceeds_length', 'Over.')
      const metadata = parseMetadata(request.metadataRaw, 20_000)
      const upload = put(Buffer.alloc(0), {
        ...blankUpload(request.length),
        owner: principal.subject,
        state: 'receiving',
        lengthDeferred: request.length === null,
        metadataRaw: request.metadataRaw,
        metadata: metadata.values,
        contentType: metadata.contentType,
        filename: metadata.filename,
        expiresAt: Date.UTC(2030, 0, 1),
        ...(request.partial ? { concatRaw: 'partial' } : {}),
      })
      return take(find(upload.id), request)
    },
    async concatenate(principal, request) {
      enter('concatenate')
      const entries = request.partials.map(find)
      const bytes = Buffer.concat(entries.map((entry) => entry.bytes))
      const upload = put(bytes, { owner: principal.subject, concatRaw: request.raw, metadataRaw: request.metadataRaw })
      return { upload, offset: bytes.length }
    },
    async append(_principal, id, request) {
      enter('append')
      const entry = find(id)
      if (request.offset !== entry.bytes.length) {
        throw new UploadError('offset_mismatch', 'Not there.', { facts: { offset: entry.bytes.length } })
      }
      if (request.declaredLength !== undefined) entry.upload = { ...entry.upload, length: request.declaredLength }
      if (request.offset + (request.bodyLength ?? 0) > (entry.upload.length ?? maxBytes)) {
        throw new UploadError('body_exceeds_length', 'The body is longer than what is missing.')
      }
      return take(entry, request)
    },
    async inspect(_principal, id) {
      enter('inspect')
      const { upload, bytes } = find(id)
      return { upload, offset: bytes.length }
    },
    async terminate(_principal, id) {
      enter('terminate')
      const entry = find(id)
      entry.upload = { ...entry.upload, state: 'terminated' }
    },
    async record(_principal, id) {
      enter('record')
      return find(id).upload
    },
    async list(_principal, query) {
      enter('list')
      const items = [...kept.values()].map((entry) => entry.upload).slice(0, query.limit)
      return { items, nextCursor: items.length < kept.size ? 'more' : null }
    },
    async download(_principal, id): Promise<Download> {
      enter('download')
      const { upload, bytes } = find(id)
      if (bytes.length !== upload.length) throw new UploadError('upload_not_finished', `Upload ${id} is not whole.`)
      return {
        upload,
        bytes: bytes.length,
        etag: `"${id}-1"`,
        open: async (range) => {
          enter('open')
          const stream = engine.nextStream
          engine.nextStream = null
          return stream ?? Readable.from([range ? bytes.subarray(range.first, range.last + 1) : bytes])
        },
        link: async ({ expiresMs, contentType, contentDisposition }) => {
          enter('link')
          const query = new URLSearchParams({ ms: String(expiresMs), contentType, contentDisposition })
          return engine.store === null ? null : `${engine.store}/${id}?${query}`
        },
      }
    },
    sweep: async () => ({ finished: 0, expired: 0 }),
    close: async () => {},
  }
  return engine
}

/** Leaves the stream paused when more comes than there is room for, as the real engine does. */
function readBody(body: Readable, room: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const stop = (settle: () => void): void => {
      body.off('data', onData).off('end', onEnd).off('close', onClose).pause()
      settle()
    }
    const onData = (chunk: Buffer): void => {
      length += chunk.length
      if (length > room) stop(() => reject(new UploadError('body_exceeds_length', 'The body goes past the length.')))
      else chunks.push(chunk)
    }
    const onEnd = (): void => stop(() => resolve(Buffer.concat(chunks)))
    const onClose = (): void => stop(() => reject(new UploadError('body_cut', 'The connection broke.')))
    body.on('data', onData).on('end', onEnd).on('close', onClose)
  })
}

function blankUpload(length: number | null): Upload {
  const now = Date.UTC(2026, 0, 2, 3, 4, 5)
  return {
    id: newUploadId(),
    tenant: 'default',
    owner: 'anonymous',
    state: 'available',
    generation: 1,
    length,
    lengthDeferred: false,
    storedLength: length,
    offsetSeen: 0,
    partBytes: 8 * 1024 * 1024,
    segments: [],
    multipartId: 'secret-multipart',
    multipartKey: 'secret-key',
    segmentStart: 0,
    tailGeneration: 1,
    unverifiedFrom: null,
    partialOf: null,
    concatRaw: null,
    metadataRaw: null,
    metadata: {},
    limits: {},
    contentType: null,
    filename: null,
    crc32: null,
    sha256: null,
    encoding: null,
    keyId: null,
    dataKeys: {},
    layout: null,
    bucket: 'secret-bucket',
    objectKey: 'secret-object',
    expiresAt: null,
    legalHold: false,
    nextSeq: 1,
    createdAt: now,
    updatedAt: now,
    enteredAt: { created: now },
  }
}
