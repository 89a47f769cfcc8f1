/** Stand-ins for the neighbours of this room, for its unit tests. The real ones are used in test/integration. */
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { UploadError } from '../server/uploads/errors.ts'
import { newUploadId } from '../server/uploads/id.ts'
import type { UploadState } from '../server/uploads/states.ts'
import type { Upload, UploadId } from '../server/uploads/words.ts'
import type { EventType, Log, ObjectReader, Outbox, OutboxEvent, ProcessingRecords } from './ports.ts'

export const silent: Log = { info() {}, warn() {}, error() {} }

/** A log that keeps what was said at `warn` and above. */
export function keptLog(): Log & { readonly lines: string[] } {
  const lines: string[] = []
  return { lines, info() {}, warn: (_, message) => lines.push(message), error: (_, message) => lines.push(message) }
}

export function anUpload(change: Partial<Upload> = {}): Upload {
  const id = newUploadId()
  return {
    id,
    tenant: 'default',
    owner: 'alice',
    state: 'uploaded',
    generation: 1,
    length: 5,
    lengthDeferred: false,
    storedLength: 5,
    offsetSeen: 5,
    partBytes: 8_388_608,
    segments: [],
    multipartId: null,
    multipartKey: null,
    segmentStart: 0,
    tailGeneration: 0,
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
    bucket: null,
    objectKey: `uploads/${id}/1-abc`,
    expiresAt: null,
    legalHold: false,
    nextSeq: 3,
    createdAt: 1,
    updatedAt: 2,
    enteredAt: {},
    ...change,
  }
}

export function anEvent(type: EventType = 'upload.uploaded', upload: Upload = anUpload()): OutboxEvent {
  const { id, tenant, owner, state, length, contentType, filename, metadata, bucket, objectKey, sha256 } = upload
  return {
    eventId: randomUUID(),
    upload: id,
    seq: 1,
    type,
    payload: {
      id,
      tenant,
      owner,
      state,
      length,
      contentType,
      filename,
      metadata,
      bucket,
      objectKey,
      sha256,
      at: new Date(upload.updatedAt).toISOString(),
    },
    createdAt: Date.now(),
  }
}

interface OutboxRow {
  readonly event: OutboxEvent
  claimedUntil: number
  publishedAt: number | null
  done: boolean
}

/** An outbox in memory that outlives relays and queues, as the table does. */
export class TestOutbox implements Outbox {
  readonly rows: OutboxRow[] = []
  /** While true every call fails. */
  away = false

  add(...events: readonly OutboxEvent[]): void {
    for (const event of events) this.rows.push({ event, claimedUntil: 0, publishedAt: null, done: false })
  }

  async claim(limit: number, leaseMs: number): Promise<OutboxEvent[]> {
    this.#answer()
    const now = Date.now()
    const free = this.rows.filter((row) => row.publishedAt === null && row.claimedUntil <= now).slice(0, limit)
    for (const row of free) row.claimedUntil = now + leaseMs
    return free.map(({ event }) => event)
  }

  async markPublished(ids: readonly string[]): Promise<void> {
    this.#answer()
    for (const row of this.rows) if (ids.includes(row.event.eventId)) row.publishedAt ??= Date.now()
  }

  async markDone(id: string): Promise<boolean> {
    this.#answer()
    const row = this.rows.find(({ event }) => event.eventId === id)
    if (!row || row.done) return false
    row.done = true
    return true
  }

  async undone({ olderThanMs, after = '', limit }: Parameters<Outbox['undone']>[0]): Promise<OutboxEvent[]> {
    this.#answer()
    return this.rows
      .filter(({ done, publishedAt }) => !done && publishedAt !== null && publishedAt <= Date.now() - olderThanMs)
      .map(({ event }) => event)
      .filter(({ eventId }) => eventId > after)
      .sort((a, b) => (a.eventId < b.eventId ? -1 : 1))
      .slice(0, limit)
  }

  async prune({ doneBefore, limit }: Parameters<Outbox['prune']>[0]): Promise<number> {
    this.#answer()
    const old = this.rows.filter(({ done, event }) => done && event.createdAt < doneBefore).slice(0, limit)
    for (const row of old) this.rows.splice(this.rows.indexOf(row), 1)
    return old.length
  }

  #answer(): void {
    if (this.away) throw new UploadError('records_unavailable', 'the database does not answer')
  }
}

/** Rows with nothing but a state machine. `entered` is the list of states entered, as events would tell. */
export class TestProcessing implements ProcessingRecords {
  readonly rows = new Map<UploadId, Upload>()
  readonly entered: UploadState[] = []

  constructor(...uploads: readonly Upload[]) {
    for (const upload of uploads) this.rows.set(upload.id, upload)
  }

  async begin(id: UploadId) {
    return this.#enter(id, 'uploaded', { state: 'processing' })
  }

  async finish(id: UploadId, { sha256 }: { readonly sha256: string }) {
    return this.#enter(id, 'processing', { state: 'available', sha256 })
  }

  #enter(id: UploadId, from: UploadState, change: { readonly state: UploadState; readonly sha256?: string }) {
    const upload = this.rows.get(id)
    if (upload?.state !== from) return { upload: upload ?? null, entered: false }
    const changed = { ...upload, ...change }
    this.rows.set(id, changed)
    this.entered.push(change.state)
    return { upload: changed, entered: true }
  }
}

/** A store of one object, or of a failure. */
export function storeOf(content: Readable | string | Buffer | Error | null): ObjectReader {
  return {
    async read() {
      if (content instanceof Error) throw content
      if (content === null || content instanceof Readable) return content
      return Readable.from([Buffer.from(content)])
    },
  }
}

/** Asks until the answer is yes. */
export async function eventually(what: string, ask: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1_000; tries += 1) {
    if (await ask()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`did not come true: ${what}`)
}
