import { after, before, describe } from 'node:test'
import { finalsContract } from './contract/finals.ts'
import { listContract } from './contract/list.ts'
import { outboxContract } from './contract/outbox.ts'
import { processingContract } from './contract/processing.ts'
import { recordsContract, statesContract } from './contract/records.ts'
import { schemaContract } from './contract/schema.ts'
import type { Database } from './database.ts'
import type { Driver } from './driver.ts'

/** An empty database for a run of the suite, and how to remove it. */
export interface Opened {
  readonly driver: Driver
  readonly database: Database
  /** The database was closed before. */
  remove(): Promise<void>
}

/** What the tests of one part get: the open database, once it is there. */
export type Subject = () => { readonly driver: Driver; readonly database: Database }

/** What the rows alone are tested by: a double without a database behind it can be held to the same rules. */
export type RecordsSubject = () => { readonly database: RecordsDatabase }

export interface RecordsDatabase extends Pick<Database, 'records' | 'history'> {
  readonly outbox: Pick<Database['outbox'], 'claim' | 'markPublished'>
}

/** What every driver of the records must do, in one database; tests run one after another. */
export function databaseContract(name: string, open: () => Promise<Opened>): void {
  describe(`records on ${name}`, () => {
    let opened: Opened | undefined
    before(async () => {
      opened = await open()
    })
    after(async () => {
      await opened?.database.close()
      await opened?.remove()
    })
    const subject: Subject = () => {
      if (!opened) throw new Error('the database did not open')
      return opened
    }
    schemaContract(subject)
    recordsContract(subject)
    statesContract(subject)
    finalsContract(subject)
    listContract(subject)
    outboxContract(subject)
    processingContract(subject)
  })
}
