import type { Context } from './context.ts'
import { hasCode } from './errors.ts'
import { finishUpload } from './finish.ts'
import type { OpenUpload } from './open-upload.ts'
import { openUpload } from './opening.ts'
import type { Upload } from './words.ts'

/**
 * Drives on a finish that stands still: its process died, or something was away. null: finished, or changed under us
 * (read the row again). A number: its bytes turned out short, it is receiving again and ends there.
 * Throws upload_busy when somebody else is at it, finish_pending, *_unavailable, upload_gone.
 */
export async function driveFinish(
  context: Context,
  row: Upload,
  rowSeenAt: number,
  waitMs: number,
): Promise<number | null> {
  const open = await openUpload(context, row, rowSeenAt, waitMs).catch((error) => {
    if (hasCode(error, 'upload_busy')) return null
    throw error
  })
  if (!open) return null
  try {
    if (!(await isComplete(open))) {
      if (open.row.state === 'finishing') await open.change({}, { enter: ['receiving'] })
      const { offset } = open
      await open.close()
      return offset
    }
  } catch (error) {
    await open.close()
    throw error
  }
  await context.finishes.start(row.id, finishUpload(context, open, null))
  return null
}

/** All bytes are in parts and tails, or the object of an earlier finish is there. */
async function isComplete(open: OpenUpload): Promise<boolean> {
  if (open.offset === open.row.length) return true
  if (open.row.objectKey === null) return false
  const object = await open.store.head(open.row.objectKey)
  return object !== null && object.bytes === open.row.length
}
