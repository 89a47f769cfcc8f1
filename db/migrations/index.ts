import type { Migration } from 'kysely/migration'
import * as initial from './001-initial.ts'
import * as partialUploads from './002-partial-uploads.ts'
import * as encryption from './003-encryption.ts'

/** Every migration by name, in order. A list and not a folder that is read, so that a bundle has them too. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '001-initial': initial,
  '002-partial-uploads': partialUploads,
  '003-encryption': encryption,
}
