import type { Upload, UploadId } from '../../uploads/words.ts'
import type { Keyring } from './keyring.ts'

type WrappedKeys = Pick<Upload, 'dataKeys'> & { readonly keyId: string }

/** The rows, as a rotation sees them (`db/data-keys.ts`). */
export interface WrappedRows {
  others(current: string, after: UploadId | null, limit: number): Promise<(WrappedKeys & { readonly id: UploadId })[]>
  replace(id: UploadId, before: WrappedKeys, now: WrappedKeys): Promise<boolean>
}

const BATCH = 500

/**
 * Wraps the data keys of all uploads with the current key; no file is touched, and the service may run meanwhile. May be
 * interrupted and run again. Throws `store_unavailable` at the first one whose key is not listed, `records_unavailable`.
 * Returns how many it changed.
 */
export async function rewrapAll(rows: WrappedRows, keyring: Keyring): Promise<number> {
  const current = keyring.currentId
  if (current === null) throw new Error('there is no key to wrap with: set ENCRYPTION_KEYS')
  let changed = 0
  let after: UploadId | null = null
  for (;;) {
    const batch = await rows.others(current, after, BATCH)
    for (const { id, keyId, dataKeys } of batch) {
      const wrapped = Object.entries(dataKeys).map(([owner, key]) => [owner, keyring.rewrap(keyId, owner, key)])
      const now = { keyId: current, dataKeys: Object.fromEntries(wrapped) }
      if (await rows.replace(id, { keyId, dataKeys }, now)) changed++
      after = id
    }
    if (batch.length < BATCH) return changed
  }
}
