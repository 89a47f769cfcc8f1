import type { KeyObject } from 'node:crypto'
import { UploadError } from '../../uploads/errors.ts'
import type { ByteStore, SecretsOf, StoreChoice, Stores } from '../../uploads/ports/byte-store.ts'
import { EncryptingStore } from './encrypting-store.ts'
import { type EncryptionKey, Keyring } from './keyring.ts'
import { ENCODING, newSecrets } from './secrets.ts'

export interface EncryptionOptions {
  /** ENCRYPTION_KEYS: the current one first. */
  readonly keys: readonly EncryptionKey[]
  /** Is what comes from now on encrypted? Needs a key. */
  readonly encryptNew: boolean
  /** Told when a stored object is not what was written. */
  readonly damaged: (upload: string, key: string, error: UploadError) => void
}

export interface Encryption {
  readonly stores: Stores
  readonly secretsOf: SecretsOf
}

/**
 * Stores that open what is encrypted, each upload's with its own data key, and encrypt new uploads where that is wanted.
 * Uploads whose rows do not say that they are encrypted are left as they are.
 */
export function withEncryption(inner: Stores, { keys, encryptNew, damaged }: EncryptionOptions): Encryption {
  const keyring = new Keyring(keys)
  const bound = new WeakMap<StoreChoice, ByteStore>()
  const bind = (row: StoreChoice): ByteStore =>
    new EncryptingStore({
      inner: inner.of(row),
      row,
      dataKeyOf: dataKeys(keyring, row),
      damaged: (key, error) => damaged(row.id, key, error),
    })
  const stores: Stores = {
    of(row) {
      if ((row.encoding ?? null) === null) return inner.of(row)
      const known = bound.get(row)
      if (known) return known
      const made = bind(row)
      bound.set(row, made)
      return made
    },
  }
  return {
    stores,
    secretsOf(id, partials) {
      const wanted = encryptNew || partials.some(({ encoding }) => encoding !== null)
      return wanted ? newSecrets(keyring, id, partials) : {}
    },
  }
}

/** Unwraps each data key of the row once, when it is asked for: nothing of a row alone needs it. */
function dataKeys(keyring: Keyring, { id, encoding, keyId, dataKeys }: StoreChoice): (upload: string) => KeyObject {
  const opened = new Map<string, KeyObject>()
  return (upload) => {
    const known = opened.get(upload)
    if (known) return known
    const wrapped = dataKeys?.[upload]
    if (encoding !== ENCODING || typeof keyId !== 'string' || wrapped === undefined) {
      throw new UploadError('store_unavailable', `The row of upload ${id} has no data key that this version can open.`)
    }
    const key = keyring.unwrap(keyId, upload, wrapped)
    opened.set(upload, key)
    return key
  }
}
