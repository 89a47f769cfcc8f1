import { v7 } from 'uuid'
import type { RecordsDatabase } from '../../../../db/contract.ts'
import { HISTORY_LINES, type HistoryLine } from '../../../../db/history.ts'
import type { OutboxEvent } from '../../../../db/outbox.ts'
import { UploadError } from '../../../../server/uploads/errors.ts'
import { parseUploadId } from '../../../../server/uploads/id.ts'
import { rowToBe } from '../../../../server/uploads/new-row.ts'
import type {
  ChangeOptions,
  HistoryEntry,
  ListQuery,
  NewUpload,
  Page,
  Records,
  UploadChange,
} from '../../../../server/uploads/ports/records.ts'
import { mayEnter, statesBefore } from '../../../../server/uploads/states.ts'
import type { Upload, UploadId, UploadState } from '../../../../server/uploads/words.ts'

interface Event extends OutboxEvent {
  claimedUntil: number
  published: boolean
}

/** Rows, outbox and history in this process: db's own contract, at the speed that thousands of runs need. */
export class MemoryRecords implements Records {
  readonly #rows = new Map<UploadId, Upload>()
  readonly #events: Event[] = []
  readonly #history: (HistoryLine & { readonly upload: UploadId })[] = []

  /** The same with its outbox and history, as db's contract takes it. */
  get database(): RecordsDatabase {
    return {
      records: this,
      history: async (id) => this.#history.filter((line) => line.upload === id).map(({ upload: _, ...line }) => line),
      outbox: {
        claim: async (limit, leaseMs) => this.#claim(limit, leaseMs),
        markPublished: async (ids) => {
          for (const event of this.#events) if (ids.includes(event.eventId)) event.published = true
        },
      },
    }
  }

  /** How often an upload entered a state. */
  entered(id: UploadId, state: UploadState): number {
    return this.#events.filter((event) => event.upload === id && event.type === `upload.${state}`).length
  }

  async insert(given: NewUpload, entered: readonly UploadState[]): Promise<Upload> {
    const state = entered.at(-1)
    if (entered[0] !== 'created' || !state) throw fault(`an upload begins with created, not with [${entered}]`)
    if (this.#rows.has(given.id)) throw fault(`there is an upload ${given.id} already`)
    const now = Date.now()
    const row: Upload = {
      ...rowToBe(given),
      ...{ generation: 0, tailGeneration: 0 },
      ...storable(given),
      state,
      nextSeq: entered.length + 1,
      createdAt: now,
      updatedAt: now,
      enteredAt: Object.fromEntries(entered.map((each) => [each, now])),
    }
    return this.#write(row, entered)
  }

  async insertFinal(given: NewUpload, partials: readonly UploadId[]): Promise<Upload | null> {
    const rows = [...new Set(partials)].map((id) => this.#rows.get(id))
    const named = rows.filter((row) => row?.state === 'uploaded').filter((row) => row !== undefined)
    for (const row of named) this.#write({ ...row, partialOf: given.id, generation: row.generation + 1 }, [])
    return named.length === rows.length ? this.insert(given, ['created', 'finishing']) : null
  }

  async isSource(key: string): Promise<boolean> {
    return [...this.#rows.values()].some(
      (row) => row.state === 'finishing' && row.segments.some((segment) => segment.key === key),
    )
  }

  async duePartials(now: number, limit: number): Promise<Upload[]> {
    return [...this.#rows.values()]
      .filter((row) => row.state === 'uploaded' && row.expiresAt !== null && row.expiresAt <= now && !row.legalHold)
      .sort((a, b) => (a.expiresAt ?? 0) - (b.expiresAt ?? 0))
      .slice(0, limit)
      .map((row) => structuredClone(row))
  }

  async releasePartials(final: UploadId, expiresAt: number): Promise<void> {
    for (const row of this.#rows.values()) {
      if (row.partialOf !== final || row.state !== 'uploaded') continue
      this.#write({ ...row, expiresAt: Math.min(row.expiresAt ?? expiresAt, expiresAt) }, [])
    }
  }

  async find(id: UploadId): Promise<Upload | null> {
    const row = this.#rows.get(id)
    return row ? structuredClone(row) : null
  }

  async change(id: UploadId, change: UploadChange, options: ChangeOptions): Promise<Upload | null> {
    const { generation, enter = [], from, raise = false } = options
    requireChain(enter)
    const row = this.#rows.get(id)
    if (!row || row.generation !== generation) return null
    if (from && !from.includes(row.state)) return null
    const [first] = enter
    if (first && !statesBefore(first).includes(row.state)) return null
    const now = Date.now()
    const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined))
    const changed: Upload = {
      ...row,
      ...given,
      state: enter.at(-1) ?? row.state,
      generation: row.generation + (raise ? 1 : 0),
      nextSeq: row.nextSeq + enter.length,
      updatedAt: now,
      enteredAt: { ...row.enteredAt, ...Object.fromEntries(enter.map((each) => [each, now])) },
    }
    return this.#write(changed, enter)
  }

  async generations(ids: readonly UploadId[]): Promise<Map<UploadId, number>> {
    const found = new Map<UploadId, number>()
    for (const id of ids) {
      const row = this.#rows.get(id)
      if (row) found.set(id, row.generation)
    }
    return found
  }

  async list(query: ListQuery): Promise<Page> {
    const { limit } = query
    if (!Number.isInteger(limit) || limit < 1 || limit > 100) throw invalid(`limit is ${limit}`)
    const after = time(query.createdAfter)
    const before = time(query.createdBefore)
    const below = query.cursor === undefined ? null : parseCursor(query.cursor)
    const rows = [...this.#rows.values()]
      .filter((row) => row.tenant === query.tenant && (query.owner ?? row.owner) === row.owner)
      .filter((row) => (query.state ?? row.state) === row.state)
      .filter((row) => query.contentType === undefined || query.contentType === row.contentType)
      .filter((row) => (after === null || row.createdAt > after) && (before === null || row.createdAt < before))
      .filter((row) => below === null || row.id < below)
      .sort((a, b) => (a.id < b.id ? 1 : -1))
    const items = rows.slice(0, limit).map((row) => structuredClone(row))
    const last = items.at(-1)
    return { items, nextCursor: last && rows.length > limit ? cursorOf(last.id) : null }
  }

  async due(now: number, finishingBefore: number, limit: number): Promise<{ finishing: Upload[]; expired: Upload[] }> {
    const rows = [...this.#rows.values()].map((row) => structuredClone(row))
    return {
      finishing: rows
        .filter((row) => row.state === 'finishing' && row.updatedAt < finishingBefore)
        .sort((a, b) => a.updatedAt - b.updatedAt)
        .slice(0, limit),
      expired: rows
        .filter((row) => row.state === 'created' || row.state === 'receiving')
        .filter((row) => row.expiresAt !== null && row.expiresAt <= now && !row.legalHold)
        .sort((a, b) => (a.expiresAt ?? 0) - (b.expiresAt ?? 0))
        .slice(0, limit),
    }
  }

  async note({ detail, ...entry }: HistoryEntry): Promise<void> {
    if (!this.#rows.has(entry.upload)) return
    this.#history.unshift({ ...entry, at: Date.now(), detail: detail ?? null })
    const all = this.#history.filter(({ upload }) => upload === entry.upload)
    const oldest = all[HISTORY_LINES]
    if (oldest) this.#history.splice(this.#history.indexOf(oldest), 1)
  }

  async ping(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) throw new UploadError('records_unavailable', 'The ping was ended.', { cause: signal.reason })
  }

  #write(row: Upload, entered: readonly UploadState[]): Upload {
    this.#rows.set(row.id, structuredClone(row))
    for (const [index, state] of entered.entries()) {
      this.#events.push({
        eventId: v7(),
        upload: row.id,
        seq: row.nextSeq - entered.length + index,
        type: `upload.${state}`,
        payload: payloadOf(row, state),
        createdAt: row.updatedAt,
        claimedUntil: 0,
        published: false,
      })
    }
    return structuredClone(row)
  }

  #claim(limit: number, leaseMs: number): OutboxEvent[] {
    const now = Date.now()
    const blocked = new Set<UploadId>()
    const claimed: OutboxEvent[] = []
    for (const event of this.#events) {
      if (event.published || blocked.has(event.upload)) continue
      if (event.claimedUntil > now || claimed.length === limit) {
        blocked.add(event.upload)
        continue
      }
      event.claimedUntil = now + leaseMs
      const { claimedUntil: _, published: __, ...plain } = event
      claimed.push(plain)
    }
    return claimed
  }
}

function payloadOf(row: Upload, state: UploadState): OutboxEvent['payload'] {
  const { id, tenant, owner, length, contentType, filename, metadata, bucket, objectKey, sha256 } = row
  const at = new Date(row.updatedAt).toISOString()
  const payload = { id, tenant, owner, state, length, contentType, filename, metadata, bucket, objectKey, sha256, at }
  return row.concatRaw === 'partial' ? { ...payload, partial: true } : payload
}

/** What a text column and jsonb make of what they cannot hold; a raw header beyond latin1 is refused. */
function storable(given: NewUpload): NewUpload {
  for (const raw of [given.metadataRaw, given.concatRaw]) {
    if (raw && Buffer.from(raw, 'latin1').toString('latin1') !== raw) {
      throw new UploadError('metadata_invalid', 'a raw header has characters beyond latin1')
    }
  }
  const text = (value: string) => value.replaceAll('\0', '\ufffd').toWellFormed()
  const { contentType, filename, metadata } = given
  return {
    ...given,
    ...(contentType ? { contentType: text(contentType) } : {}),
    ...(filename ? { filename: text(filename) } : {}),
    ...(metadata ? { metadata: Object.fromEntries(Object.entries(metadata).map(storableEntry)) } : {}),
  }
}

function storableEntry([key, value]: [string, string]): [string, string] {
  if (!value.includes('\0')) return [key.toWellFormed(), value.toWellFormed()]
  return [key.toWellFormed(), `base64:${Buffer.from(value, 'utf8').toString('base64')}`]
}

function requireChain(states: readonly UploadState[]): void {
  for (const [index, to] of states.entries()) {
    const from = states[index - 1]
    if (from && !mayEnter(from, to)) throw fault(`an upload does not go from ${from} to ${to}`)
  }
}

function time(ms: number | undefined): number | null {
  if (ms === undefined) return null
  if (Number.isNaN(new Date(ms).getTime())) throw invalid(`${ms} is no time in milliseconds`)
  return ms
}

function cursorOf(id: UploadId): string {
  return Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url')
}

function parseCursor(cursor: string): UploadId {
  const hex = Buffer.from(cursor, 'base64url').toString('hex')
  const id = parseUploadId(hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'))
  if (!id || cursorOf(id) !== cursor) throw invalid('the cursor is not one of ours')
  return id
}

function fault(message: string): UploadError {
  return new UploadError('internal', message)
}

function invalid(message: string): UploadError {
  return new UploadError('query_invalid', message)
}
