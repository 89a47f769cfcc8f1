import type { KeyShape } from './key-template.ts'
import { type KeyTemplate, objectShapes, parseTailKey, tailShape } from './keys.ts'
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

const PAGE = 500

/**
 * Removes what no row names: objects of interrupted writes, tails of uploads that ended, multipart uploads that a
 * crash left open. Only what is ours: keys that our templates make; a multipart upload only
 * when the id has a row. Foreign keys and multipart uploads of the same bucket are never touched.
 */
export async function sweepOrphans(options: OrphanOptions): Promise<OrphanCounts> {
  const counts = { object: 0, tail: 0, multipart: 0 }
  const { keys, windowMs } = options
  const since = windowMs === null ? '' : idPrefixAt(Date.now() - windowMs)
  const shapes = objectShapes(keys)
  for (const [index, shape] of shapes.entries()) {
    // What an earlier template also knows was looked at there.
    const known = shapes.slice(0, index)
    const idOf = (key: string) => (known.some((other) => other.idOf(key)) ? null : shape.idOf(key))
    counts.object += await sweepObjects(options, 'object', { ...shape, idOf }, since, unnamedObject)
  }
  counts.tail = await sweepObjects(options, 'tail', tailShape(keys), '', needlessTail)
  counts.multipart = await sweepMultiparts(options, shapes)
  return counts
}

/** The first digits of every UUIDv7 made at that time: ids, and so keys, sort by it. */
function idPrefixAt(time: number): string {
  const hex = Math.max(0, Math.floor(time)).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}`
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
  shape: KeyShape,
  since: string,
  needless: Test,
): Promise<number> {
  let count = 0
  for (const root of shape.byId && since !== '' ? shape.roots : [shape.root]) {
    if (options.stopping()) break
    count += await sweepRoot(options, kind, shape, root, since, needless)
  }
  return count
}

async function sweepRoot(
  options: OrphanOptions,
  kind: 'object' | 'tail',
  shape: KeyShape,
  root: string,
  since: string,
  needless: Test,
): Promise<number> {
  let count = 0
  let page: Ours[] = []
  const flush = async () => {
    count += await removeNeedless(options, kind, page, needless)
    page = []
  }
  for await (const object of options.inventory.objects(root, shape.byId && since !== '' ? `${root}${since}` : '')) {
    if (options.stopping()) return count
    const id = shape.idOf(object.key)
    if (id === null || id < since || object.modifiedAt > Date.now() - options.minAgeMs) continue
    page.push({ id, object })
    if (page.length === PAGE) await flush()
  }
  await flush()
  return count
}

/** A listed object, and the upload that its key was made for. */
interface Ours {
  readonly id: UploadId
  readonly object: ListedObject
}

async function removeNeedless(
  { records, store, dryRun, found }: OrphanOptions,
  kind: OrphanKind,
  page: readonly Ours[],
  needless: Test,
): Promise<number> {
  if (page.length === 0) return 0
  // The rows are read after the listing: what a row named meanwhile is kept.
  const rows = await records.rowsOf([...new Set(page.map(({ id }) => id))])
  const going = page.filter(({ id, object }) => needless(rows.get(id), object)).map(({ object }) => object.key)
  for (const key of going) found(kind, key)
  if (!dryRun && going.length > 0) await store.remove(going)
  return going.length
}

async function sweepMultiparts(
  { inventory, records, store, keys, minAgeMs, dryRun, found, stopping }: OrphanOptions,
  shapes: readonly KeyShape[],
): Promise<number> {
  const old: { readonly id: UploadId; readonly open: ListedMultipart }[] = []
  for await (const open of inventory.multiparts(`${keys.prefix}/`)) {
    const id = shapes.map((shape) => shape.idOf(open.key)).find((each) => each !== null)
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
