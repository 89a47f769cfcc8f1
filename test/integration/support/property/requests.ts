import { Readable } from 'node:stream'
import type { Standing } from '../../../../server/uploads/api.ts'
import { hasCode, UploadError } from '../../../../server/uploads/errors.ts'
import { parseUploadId } from '../../../../server/uploads/id.ts'
import { isFinished } from '../../../../server/uploads/states.ts'
import { ALICE, readAll } from '../engine.ts'
import { type Sending, UploadModel, violated } from './model.ts'
import type { SimProcess } from './process.ts'
import type { Instance, Sim } from './sim.ts'

/** How a client sends its bytes. */
export interface Sent {
  /** Bytes of one chunk, 1 to 8. */
  readonly chunk: number
  /** Pause between chunks, ms; 0: all at once. */
  readonly everyMs: number
  /** Share of the bytes after which the connection breaks or stands still, 0..1. */
  readonly until: number
  readonly end: 'ended' | 'cut' | 'stalled'
  /** Is there a Content-Length? */
  readonly sized: boolean
}

/** How a request came out, as its client sees it. */
export type Outcome = { readonly standing: Standing } | { readonly error: UploadError } | 'died'

/** A request through `instance`: what its client gets to see, when it gets to see it. */
export async function request(
  sim: Sim,
  { process, engine }: Instance,
  run: (engine: Instance['engine']) => Promise<Standing>,
): Promise<Outcome> {
  const outcome = await new Promise<Outcome>((resolve, reject) => {
    process.onDeath(() => resolve('died'))
    const answer = (settle: () => void) => process.deliver(() => sim.ground.clock.after(1, settle))
    process.deliver(() =>
      sim.ground.clock
        .as(process, () => run(engine))
        .then(
          (standing) => answer(() => resolve({ standing })),
          (error) => answer(() => (isFailure(error) ? resolve({ error }) : reject(error))),
        ),
    )
  })
  sim.count(outcome === 'died' ? outcome : 'error' in outcome ? outcome.error.code : 'done')
  return outcome
}

/** `internal` is a fault of the service, whatever else fails. */
function isFailure(error: unknown): error is UploadError {
  return error instanceof UploadError && error.code !== 'internal'
}

/** The body of a request: feeds what the client sends to a process that may be slow, stopped or dead. */
export function feed(sim: Sim, process: SimProcess, sending: Sending, how: Sent): Readable {
  const { clock } = sim.ground
  const body = new Readable({ read() {} })
  // Nobody listens to a body that was refused.
  body.on('error', () => {})
  process.onDeath(() => body.destroy())
  const last = how.end === 'ended' ? sending.bytes.length : Math.floor(sending.bytes.length * how.until)
  const step = () => {
    if (body.destroyed) return
    do {
      if (sending.sent >= last) return finish(body, how)
      const piece = sending.bytes.subarray(sending.sent, Math.min(last, sending.sent + how.chunk))
      sending.sent += piece.length
      process.deliver(() => void (body.destroyed || body.push(Buffer.from(piece))))
    } while (how.everyMs === 0 || sim.ending)
    clock.after(how.everyMs, step)
  }
  const finish = (stream: Readable, { end }: Sent) => {
    if (end === 'ended') process.deliver(() => void (stream.destroyed || stream.push(null)))
    else if (end === 'cut') process.deliver(() => void stream.destroy(new Error('connection lost')))
  }
  step()
  return body
}

/** HEAD. */
export async function head(sim: Sim, instance: Instance, upload: UploadModel): Promise<Outcome> {
  const { id, told: floor, length: known } = upload
  if (!id) throw new Error('an upload without an id')
  const gone = upload.terminated
  const outcome = await upload.busy(() => request(sim, instance, (engine) => engine.inspect(ALICE, id)))
  if (outcome === 'died') return outcome
  if ('error' in outcome) {
    refused(upload, outcome.error, floor, 'HEAD')
    return outcome
  }
  const { standing } = outcome
  if (gone) violated(`upload ${upload.number} was terminated, and a HEAD shows it`)
  await shown(sim, upload, standing, known)
  upload.tell(standing.offset, floor, 'HEAD')
  return outcome
}

/** PATCH with bytes of its own. */
export async function append(
  sim: Sim,
  instance: Instance,
  upload: UploadModel,
  given: { readonly offset: number; readonly bytes: Buffer; readonly declared?: number; readonly how: Sent },
): Promise<Outcome> {
  const { id, length: known } = upload
  if (!id) throw new Error('an upload without an id')
  const { offset, bytes, declared, how } = given
  const gone = upload.terminated
  const sending = upload.begin(offset, bytes)
  if (declared !== undefined) upload.declared.add(declared)
  const body = feed(sim, instance.process, sending, how)
  const outcome = await upload
    .busy(() =>
      request(sim, instance, (engine) =>
        engine.append(ALICE, id, {
          offset,
          body,
          bodyLength: how.sized ? bytes.length : null,
          ...(declared === undefined ? {} : { declaredLength: declared }),
        }),
      ),
    )
    .finally(() => body.destroy())
  if (outcome === 'died') return outcome
  if ('error' in outcome) {
    refused(upload, outcome.error, sending.floor, 'PATCH')
    return outcome
  }
  if (gone) violated(`upload ${upload.number} was terminated, and takes bytes`)
  await shown(sim, upload, outcome.standing, known)
  upload.acknowledge(sending, outcome.standing.offset)
  return outcome
}

/** POST; with bytes when `bytes` are given. The upload is known to the model from the start, its id when it is told. */
export async function create(
  sim: Sim,
  instance: Instance,
  given: { readonly length: number | null; readonly bytes: Buffer | null; readonly how: Sent },
): Promise<UploadModel> {
  const { length, bytes, how } = given
  const upload = new UploadModel(sim.uploads.length, length)
  sim.uploads.push(upload)
  const sending = bytes ? upload.begin(0, bytes) : null
  const body = sending ? feed(sim, instance.process, sending, how) : null
  const bodyLength = bytes ? (how.sized ? bytes.length : null) : 0
  const outcome = await request(sim, instance, (engine) =>
    engine.create(ALICE, { length, metadataRaw: null, body, bodyLength }),
  ).finally(() => body?.destroy())
  if (outcome === 'died') return upload
  if ('error' in outcome) {
    const { location_id: id } = outcome.error.facts
    if (typeof id === 'string') upload.id = await knownId(sim, id)
    return upload
  }
  const { standing } = outcome
  upload.id = standing.upload.id
  await shown(sim, upload, standing, length)
  if (sending) upload.acknowledge(sending, standing.offset)
  else upload.tell(standing.offset, 0, 'POST')
  return upload
}

/** DELETE. */
export async function terminate(sim: Sim, instance: Instance, upload: UploadModel): Promise<void> {
  const { id } = upload
  if (!id) throw new Error('an upload without an id')
  upload.terminationBegun = true
  const outcome = await upload.busy(() =>
    request(sim, instance, async (engine) => {
      await engine.terminate(ALICE, id)
      return { upload: await engine.record(ALICE, id), offset: 0 }
    }),
  )
  if (outcome === 'died') return
  if ('error' in outcome) return refused(upload, outcome.error, 0, 'DELETE')
  upload.terminated = true
}

/** GET: the whole file, or a refusal. */
export async function download(sim: Sim, upload: UploadModel): Promise<void> {
  const { records, store } = sim.ground
  const row = upload.id && (await records.find(upload.id))
  if (!row || !isFinished(row.state)) return
  const stream = row.objectKey === null ? null : await store.read(row.objectKey)
  if (!stream) {
    if (upload.terminationBegun) return
    violated(`upload ${upload.number} is ${row.state}, and its object is not there`)
  }
  const content = await readAll(stream)
  // Deleted under our hands is no violation.
  if (content.length === row.length || !upload.terminationBegun) {
    upload.see(row, null)
    upload.verify(content, row)
  }
}

/** An answer that shows the upload: a whole one only when its object is whole. */
async function shown(
  sim: Sim,
  upload: UploadModel,
  { upload: row, offset }: Standing,
  known: number | null,
): Promise<void> {
  upload.see(row, known)
  if (offset !== row.length) return
  if (!isFinished(row.state)) violated(`upload ${upload.number} shows its whole length and is ${row.state}`)
  await download(sim, upload)
}

function refused(upload: UploadModel, error: UploadError, floor: number, verb: string): void {
  if (hasCode(error, 'upload_gone', 'not_found') && !upload.terminationBegun) {
    violated(`${verb} of upload ${upload.number} is told ${error.code}, and nobody terminated it: ${error.message}`)
  }
  const { offset } = error.facts
  if (error.code === 'offset_mismatch' && typeof offset === 'number') upload.tell(offset, floor, `a 409 to ${verb}`)
}

async function knownId(sim: Sim, id: string) {
  const parsed = parseUploadId(id)
  if (!parsed || !(await sim.ground.records.find(parsed)))
    violated(`the location ${id} of a failed POST does not exist`)
  return parsed
}
