/**
 * An example of a hook module; HOOKS_MODULE=hooks/example.ts switches it on. A module of your own looks like this one,
 * wherever it lies, and imports from this folder's lifecycle.ts.
 */
import { extname } from 'node:path'
import { defineHooks, refuse } from './lifecycle.ts'

const UNWANTED = new Set(['.exe', '.bat', '.cmd', '.scr'])

export default defineHooks({
  /** Refuses by name before a byte is sent: the client sees status and sentence. */
  'pre-create': ({ upload, principal, log }) => {
    const extension = extname(upload.filename ?? '').toLowerCase()
    if (!UNWANTED.has(extension)) return
    log.info({ owner: principal.subject, extension }, 'example hooks: refused an upload')
    refuse(422, `files that end in ${extension} are not taken`)
  },

  /** Nobody but an operator may end an upload that is kept for legal reasons. */
  'pre-terminate': ({ upload, principal }) => {
    if (upload.legalHold && !principal.roles.includes('operator')) {
      refuse(403, 'this upload is under legal hold; ask an operator')
    }
  },

  /**
   * Runs in a worker, at least once: a receiver of one's own uses `event.id` to see a repeat. What it throws makes the
   * event come again.
   */
  'post-finish': ({ event, log }) => {
    const { filename, length } = event.payload
    log.info({ event: event.id, upload: event.uploadId, filename, length }, 'example hooks: an upload is complete')
  },
})
