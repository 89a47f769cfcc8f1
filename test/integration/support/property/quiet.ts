import { isDeepStrictEqual } from 'node:util'
import { agrees } from '../../../../server/uploads/recovery.ts'
import type { UploadId } from '../../../../server/uploads/words.ts'
import { type UploadModel, violated } from './model.ts'
import type { Outcome, Sent } from './requests.ts'
import type { Sim } from './sim.ts'

interface Patch {
  readonly offset: number
  readonly bytes: Buffer
  readonly declared?: number
  readonly how: Sent
}

/**
 * Runs a request, and when it is one that has to be refused while nobody else does anything with the upload, looks
 * whether it changed anything: row, session, store.
 */
export async function watched(sim: Sim, upload: UploadModel, patch: Patch, run: () => Promise<Outcome>): Promise<void> {
  const { id } = upload
  const refusable = id !== null && mustBeRefused(sim, upload, patch)
  const alone = upload.running === 0 && !sim.orphans
  const begun = upload.begun + 1
  const { disturbances } = sim
  const before = refusable && alone ? await lookAt(sim, id) : null
  const outcome = await run()
  if (refusable && outcome !== 'died' && 'standing' in outcome) {
    violated(`an append at ${patch.offset} that has to be refused was taken: upload ${upload.number}`)
  }
  if (!before || !id || outcome === 'died') return
  const after = await lookAt(sim, id)
  if (upload.begun !== begun || sim.disturbances !== disturbances) return
  if (!isDeepStrictEqual(after, before)) {
    violated(
      `a refused append changed upload ${upload.number}:\n${JSON.stringify(before)}\nbecame\n${JSON.stringify(after)}`,
    )
  }
}

/** By what its client must know: no state of the upload makes this request right. */
function mustBeRefused(sim: Sim, upload: UploadModel, { offset, bytes, declared, how }: Patch): boolean {
  if (offset < upload.told || offset > upload.most) return true
  if (upload.length === null) return false
  if (declared !== undefined && declared !== upload.length) return true
  const over = offset + bytes.length > upload.length
  if (how.sized) return over
  // Without a Content-Length it shows at the end; by then full parts may be stored, which are kept.
  const fits = upload.length <= sim.ground.settings.partBytes && how.everyMs === 0 && how.end === 'ended'
  return over && fits
}

/** Row, session and store of an upload that is at rest; null when whoever takes it next has something to put right. */
async function lookAt(sim: Sim, id: UploadId) {
  const [row, session, keys] = await Promise.all([
    sim.ground.records.find(id),
    sim.ground.peek(id),
    sim.ground.keysOf(id),
  ])
  if (!row) return null
  const untouched = session.kind === 'missing' && row.state === 'created'
  return untouched || (session.kind === 'free' && agrees(session.session, row)) ? { row, session, keys } : null
}
