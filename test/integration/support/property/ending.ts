import { isFinished } from '../../../../server/uploads/states.ts'
import { type UploadModel, violated } from './model.ts'
import { append, download, head } from './requests.ts'
import type { Sim } from './sim.ts'

/** Longest time that anything may take once nothing is broken any more, ms by the world's clock. */
const PATIENCE_MS = 180_000
const TRIES = 40

/**
 * The end of every run: faults stop, what runs comes to an end, every upload is finished by a client that keeps
 * trying, and then nothing is left that should not be.
 */
export async function bringToAnEnd(sim: Sim): Promise<void> {
  for (const { process } of sim.instances) process.heal()
  sim.ending = true
  sim.note('faults stop')
  await sim.pass(PATIENCE_MS, () => sim.running.length === 0)
  if (sim.running.length > 0) violated(`still running after ${PATIENCE_MS} ms: ${sim.running.join(', ')}`)
  for (const upload of sim.uploads) {
    if (!upload.id || upload.terminated) continue
    await sim.wait(`finishing upload ${upload.number}`, PATIENCE_MS, keepTrying(sim, upload))
  }
  const closing = sim.instances.map((_, n) => sim.close(n))
  await Promise.all(closing)
  await sim.pass(PATIENCE_MS, () => sim.running.length === 0)
  if (sim.running.length > 0) violated(`a stop takes longer than ${PATIENCE_MS} ms`)
  for (const upload of sim.uploads) await inspectLeftovers(sim, upload)
  const [overwritten] = sim.ground.overwritten()
  if (overwritten !== undefined) violated(`the key ${overwritten} was written twice, with other bytes`)
}

/** HEAD, PATCH, and again: as tus-js-client does. */
async function keepTrying(sim: Sim, upload: UploadModel): Promise<void> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const instance = sim.instance(upload.number + attempt)
    const outcome = await head(sim, instance, upload)
    if (outcome === 'died' || 'error' in outcome) {
      if (upload.terminationBegun && outcome !== 'died' && outcome.error.code === 'upload_gone') return
      sim.note(`${upload.number}: HEAD ${outcome === 'died' ? outcome : outcome.error.message}`)
      await delay(sim, 1000)
      continue
    }
    const { offset } = outcome.standing
    if (isFinished(outcome.standing.upload.state)) return download(sim, upload)
    const length = upload.length ?? offset + 10
    const bytes = sim.random.bytes(Math.min(100, length - offset))
    const declared = upload.length === null ? { declared: length } : {}
    const how = { chunk: 8, everyMs: 0, until: 1, end: 'ended', sized: true } as const
    const sent = await append(sim, instance, upload, { offset, bytes, how, ...declared })
    if (sent !== 'died' && 'error' in sent) {
      sim.note(`${upload.number}: PATCH ${sent.error.message}`)
      await delay(sim, 1000)
    }
  }
  violated(`upload ${upload.number} is not finished after ${TRIES} tries`)
}

function delay(sim: Sim, ms: number): Promise<void> {
  return new Promise((resolve) => sim.ground.clock.after(ms, resolve))
}

/** The object and nothing else of a finished upload, nothing of a terminated one, and one event for its finish. */
async function inspectLeftovers(sim: Sim, upload: UploadModel): Promise<void> {
  const { id, number } = upload
  const row = id && (await sim.ground.records.find(id))
  if (!id || !row) return
  const finishes = await sim.ground.entered(id, 'uploaded')
  if (finishes > 1) violated(`upload ${number} was finished ${finishes} times`)
  if (isFinished(row.state)) {
    if (finishes !== 1) violated(`upload ${number} is ${row.state} without a finish event`)
    await download(sim, upload)
  } else if (row.state !== 'terminated' || !upload.terminationBegun) {
    violated(`upload ${number} ends as ${row.state}`)
  }
  if (sim.orphans) return
  const expected = isFinished(row.state) && row.objectKey !== null ? [row.objectKey] : []
  const keys = await sim.ground.keysOf(id)
  if (keys.length !== expected.length || keys.some((key) => !expected.includes(key))) {
    violated(`the store has ${JSON.stringify(keys)} of upload ${number}, which is ${row.state}`)
  }
}
