/** What must hold of an upload that came through, whatever happened on the way. */
import assert from 'node:assert/strict'
import type { Backend, Service } from './backend.ts'
import { eventually, idOf, sha256 } from './tus.ts'

/** Sends what is missing, as a client that asks first; 409 and 423 are asked again. */
export async function resume(service: Pick<Service, 'tus'>, path: string, bytes: Buffer): Promise<number> {
  const { tus } = service
  for (let attempt = 0; attempt < 10; attempt++) {
    const offset = await tus.offset(path)
    if (offset === bytes.length) return offset
    const answer = await tus.patch(path, offset, bytes.subarray(offset))
    if (answer.status === 204) return offset
    assert.ok([409, 423, 503].includes(answer.status), `PATCH at ${offset} answered ${answer.status}: ${answer.body}`)
  }
  throw new Error(`${path} could not be resumed in ten attempts`)
}

/** The content is `bytes`, the record has their SHA-256, and finish and job happened once. */
export async function cameThrough(backend: Backend, service: Service, path: string, bytes: Buffer): Promise<void> {
  await service.tus.contentIs(path, bytes)
  const available = async () => (await service.tus.info(path)).state === 'available'
  await eventually(available, `${path} is processed`, 30_000)
  assert.equal((await service.tus.info(path)).sha256, sha256(bytes))
  const { insight } = backend
  if (!insight) return
  await eventually(async () => (await insight.jobsDone(idOf(path))) === 1, 'the one job of the finish is done')
  const events = await insight.eventsOf(idOf(path))
  for (const type of ['upload.created', 'upload.uploaded', 'upload.processing', 'upload.available']) {
    assert.equal(events.filter((one) => one === type).length, 1, `${type} in ${events}`)
  }
}
