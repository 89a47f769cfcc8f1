import type { Deps } from './deps.ts'
import { UploadError } from './errors.ts'
import type { Upload } from './words.ts'

/** What `Upload-Concat` says of the uploads that take part in a concatenation (tus 1.0, Concatenation). */
export const PARTIAL = 'partial'
/** Partial uploads stay this long after their final one is made: a client whose answer was lost asks for them again. */
const KEPT_MS = 600_000

/** One piece of a file: finished like any upload, and never processed or handed out by itself. */
export function isPartial({ concatRaw }: Pick<Upload, 'concatRaw'>): boolean {
  return concatRaw === PARTIAL
}

/** Made of partial uploads: its segments are their objects, which are not its own to remove. */
export function isFinal({ concatRaw }: Pick<Upload, 'concatRaw'>): boolean {
  return concatRaw !== null && concatRaw !== PARTIAL
}

/** The final upload is made: what it was made of is kept for a while, then the sweeper removes it. */
export async function releasePartials(deps: Deps, row: Upload): Promise<void> {
  const { expiresAfterMs } = deps.settings
  await deps.records.releasePartials(row.id, Date.now() + Math.min(KEPT_MS, expiresAfterMs ?? KEPT_MS))
}

/** Throws upload_busy while a final upload is being made of this partial one: its bytes are needed. */
export async function refuseSource(deps: Deps, row: Upload): Promise<void> {
  if (!isPartial(row) || row.objectKey === null || !(await deps.records.isSource(row.objectKey))) return
  throw new UploadError('upload_busy', `A final upload is being made of upload ${row.id}. Try again shortly.`)
}
