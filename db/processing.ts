import type { UploadChange } from '../server/uploads/ports/records.ts'
import type { Upload, UploadId, UploadState } from '../server/uploads/words.ts'
import type { RunRows } from './driver.ts'
import { guarded } from './failures.ts'
import { changeUpload, findUpload } from './uploads.ts'

/** Where a step of the post-processing left its upload. */
export interface ProcessingResult {
  /** As it is now; null: no such upload. */
  readonly upload: Upload | null
  /** True for the one call that made the change (and its event). */
  readonly entered: boolean
}

/**
 * What the worker does to the row. It holds nothing, so the state alone is the guard; each call may be repeated and has
 * its effect and its event once. Failure: `records_unavailable`.
 */
export interface Processing {
  /** uploaded -> processing. */
  begin(id: UploadId): Promise<ProcessingResult>
  /** processing -> available, with the digest (lower-case hex) of the whole object. */
  finish(id: UploadId, result: { readonly sha256: string }): Promise<ProcessingResult>
}

export function createProcessing(rows: RunRows): Processing {
  return {
    begin: (id) => guarded(() => enter(rows, id, 'processing', {})),
    finish: (id, { sha256 }) => guarded(() => enter(rows, id, 'available', { sha256 }, ['processing'])),
  }
}

async function enter(
  rows: RunRows,
  id: UploadId,
  state: UploadState,
  change: UploadChange,
  from: readonly UploadState[] | null = null,
): Promise<ProcessingResult> {
  const changed = await changeUpload(rows, id, change, { generation: null, enter: [state], from, raise: false })
  if (changed) return { upload: changed, entered: true }
  return { upload: await findUpload(rows, id), entered: false }
}
