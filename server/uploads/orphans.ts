import { parseUploadId } from './id.ts'
import { type KeyTemplate, parseTailKey } from './keys.ts'
import type { ByteStore } from './ports/byte-store.ts'
import type { Housekeeping, Inventory, ListedMultipart, ListedObject } from './ports/housekeeping.ts'
import { isGone, isUnfinished } from './states.ts'
import type { Upload, UploadId } from './words.ts'

export interface OrphanOptions {
  readonly inventory: Inventory
  readonly records: Pick<Housekeeping, 'rowsOf'>
  readonly store: Pick<ByteStore, 'remove' | 'abortMultipart'>
  readonly keys: KeyTemplate
  /** Younger things are left alone: a row may be about to name them. */
  readonly minAgeMs: number
  /** Objects of uploads that were created longer ago than this are not looked at again; null: all are. */
  readonly windowMs: number | null
  /** Only say what would go. */
  readonly dryRun: boolean
  readonly found: (kind: OrphanKind, key: string) => void
  /** Ends the sweep between two pages. */
  readonly stopping: () => boolean
}

export type OrphanKind = 'object' | 'tail' | 'multipart'
export type OrphanCounts = Readonly<Record<OrphanKind, number>>

const SHARDS = Array.from({ length: 256 }, (_, index) => index.toString(16).padStart(2, '0'))
const PAGE = 500

/**
 * Removes what no row names: objects of interrupted writes, tails of uploads that ended, multipart uploads that a
 * crash left open. Only what is ours: under our prefixes, with an id in its place in the key; a multipart upload only
 * when the id has a row. Foreign keys and multipart uploads of the same bucket are never touched.
 */
export async function sweepOrphans(options: OrphanOptions): Promise<OrphanCounts> {
  const counts = { object: 0, tail: 0, multipart: 0 }
  const { keys, windowMs } = options
  const since = windowMs === null ? '' : idPrefixAt(Date.now() - windowMs)
  for (const shard of SHARDS) {
    if (options.stopping()) break
    const objects = `${keys.prefix}/${shard}/`
    counts.object += await sweepObjects(options, 'object', objects, `${objects}${since}`, unnamedObject)
    const tails = `${keys.tailPrefix}/${shard}/`
    counts.tail += await sweepObjects(options, 'tail', tails, '', needlessTail)
  }
  counts.multipart = await sweepMultiparts(options)
  return counts
}

/** The first digits of every UUIDv7 made at that time: ids, and so keys, sort by it. */
function idPrefixAt(time: number): string {
  const hex = Math.max(0, Math.floor(time)).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}`
}

/** The id in a key `{prefix}/{shard}/{id}/…`; null: not one of ours. */
function idOf(prefix: string, key: string): UploadId | null {
  const [shard = '', id = '', ...rest] = key.slice(prefix.length + 1).split('/')
  const parsed = key.startsWith(`${prefix}/`) && rest.length > 0 ? parseUploadId(id) : null
  return parsed?.endsWith(shard) ? parsed : null
}

type Test = (row: Upload | undefined, object: ListedObject) => boolean

const unnamedObject: Test = (row, { key }) =>
  !row ||
  isGone(row.state) ||
  ![row.objectKey, row.multipartKey, ...row.segments.map((segment) => segment.key)].includes(key)

const needlessTail: Test = (row, { key }) => {
  if (!row || !isUnfinished(row.state)) return true
  const tail = parseTailKey(key)
  return tail !== null && tail.generation < row.tailGeneration
}

async function sweepObjects(
  options: OrphanOptions,
  kind: 'object' | 'tail',
  prefix: string,
  after: string,
  needless: Test,
): Promise<number> {
  const root = kind === 'object' ? options.keys.prefix : options.keys.tailPrefix
  let count = 0
  let page: ListedObject[] = []
  const flush = async () => {
    count += await removeNeedless(options, kind, root, page, needless)
    page = []
  }
  for await (const object of options.inventory.objects(prefix, after)) {
    if (object.modifiedAt > Date.now() - options.minAgeMs || !idOf(root, object.key)) continue
    page.push(object)
    if (page.length < PAGE) continue
    await flush()
    if (options.stopping()) return count
  }
  await flush()
  return count
}

async function removeNeedless(
  { records, store, dryRun, found }: OrphanOptions,
  kind: OrphanKind,
  root: string,
  page: readonly ListedObject[],
  needless: Test,
): Promise<number> {
  if (page.length === 0) return 0
  const ids = new Map(page.map((object) => [object.key, idOf(root, object.key)]))
  // The rows are read after the listing: what a row named meanwhile is kept.
  const rows = await records.rowsOf([...new Set([...ids.values()].filter((id) => id !== null))])
  const going = page.filter((object) => {
    const id = ids.get(object.key)
    return id !== null && id !== undefined && needless(rows.get(id), object)
  })
  for (const { key } of going) found(kind, key)
  if (!dryRun && going.length > 0) await store.remove(going.map(({ key }) => key))
  return going.length
}

async function sweepMultiparts({ inventory, records, store, keys, minAgeMs, dryRun, found, stopping }: OrphanOptions) {
  const old: { readonly id: UploadId; readonly open: ListedMultipart }[] = []
  for await (const open of inventory.multiparts(`${keys.prefix}/`)) {
    const id = idOf(keys.prefix, open.key)
    if (id && open.startedAt <= Date.now() - minAgeMs) old.push({ id, open })
  }
  let count = 0
  for (let from = 0; from < old.length && !stopping(); from += PAGE) {
    const page = old.slice(from, from + PAGE)
    const rows = await records.rowsOf([...new Set(page.map(({ id }) => id))])
    for (const { id, open } of page) {
      const row = rows.get(id)
      // One that is finishing may be put together of its segments just now; no row names such a multipart upload.
      if (!row || row.state === 'finishing') continue
      if (row.multipartId === open.multipartId && !isGone(row.state)) continue
      count++
      found('multipart', open.key)
      if (!dryRun) await store.abortMultipart(open.key, open.multipartId)
    }
  }
  return count
}
