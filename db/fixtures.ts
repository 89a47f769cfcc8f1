import { newUploadId } from '../server/uploads/id.ts'
import type { NewUpload } from '../server/uploads/ports/records.ts'
import type { Upload } from '../server/uploads/words.ts'
import type { RecordsDatabase } from './contract.ts'
import type { OutboxEvent } from './outbox.ts'

/** A row to insert, for the tests of this folder. */
export function newUpload(fields: Partial<NewUpload> = {}): NewUpload {
  return {
    id: newUploadId(),
    tenant: 'default',
    owner: 'somebody',
    length: 10,
    lengthDeferred: false,
    partBytes: 8 * 1024 * 1024,
    ...fields,
  }
}

/** A tenant that no other test uses. */
export function newTenant(): string {
  return `t-${newUploadId()}`
}

/** An upload on its way: created, then finishing. */
export async function finishingUpload(database: RecordsDatabase, fields: Partial<NewUpload> = {}): Promise<Upload> {
  const upload = await database.records.insert(newUpload(fields), ['created'])
  const finishing = await database.records.change(
    upload.id,
    {},
    { generation: upload.generation, enter: ['finishing'] },
  )
  if (!finishing) throw new Error('created -> finishing was refused')
  return finishing
}

/** Publishes everything that is unpublished and unclaimed, so that a test begins with an empty outbox. */
export async function drain(database: RecordsDatabase): Promise<OutboxEvent[]> {
  const drained: OutboxEvent[] = []
  for (;;) {
    const events = await database.outbox.claim(500, 60_000)
    if (events.length === 0) return drained
    await database.outbox.markPublished(events.map((event) => event.eventId))
    drained.push(...events)
  }
}

/** The events of one upload among all that drain. */
export async function drainOf(database: RecordsDatabase, upload: Upload): Promise<OutboxEvent[]> {
  return (await drain(database)).filter((event) => event.upload === upload.id)
}
