/**
 * The keys of ENCRYPTION_KEYS. None of them touches a file: each wraps the data keys of uploads, so that a new key means
 * wrapping those again, not the files.
 */
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto'
import { UploadError } from '../../uploads/errors.ts'

/** A key with its name. The key has 32 bytes. */
export interface EncryptionKey {
  readonly id: string
  readonly key: Buffer
}

export const DATA_KEY_BYTES = 32
const ALGORITHM = 'aes-256-gcm'
const SALT_BYTES = 16
const TAG_BYTES = 16
const WRAPPED_BYTES = SALT_BYTES + DATA_KEY_BYTES + TAG_BYTES
/** Each wrapping has a key of its own (a new salt), so one nonce is enough. */
const NONCE = Buffer.alloc(12)

/** What wraps data keys. The first key is the current one; the others only unwrap. */
export class Keyring {
  readonly #keys: ReadonlyMap<string, KeyObject>
  /** null: there is no key at all, and what is encrypted cannot be read. */
  readonly currentId: string | null

  /** Ids are distinct. */
  constructor(keys: readonly EncryptionKey[]) {
    this.currentId = keys[0]?.id ?? null
    this.#keys = new Map(keys.map(({ id, key }) => [id, createSecretKey(key)]))
  }

  /** `dataKey` under the current key, bound to its upload; base64url. */
  wrap(upload: string, dataKey: KeyObject): string {
    if (this.currentId === null) throw new Error('there is no key to wrap with')
    const salt = randomBytes(SALT_BYTES)
    const cipher = createCipheriv(ALGORITHM, this.#wrappingKey(this.currentId, salt, upload), NONCE)
    const sealed = [salt, cipher.update(dataKey.export()), cipher.final(), cipher.getAuthTag()]
    return Buffer.concat(sealed).toString('base64url')
  }

  /**
   * The data key. Throws `store_unavailable` when the key `id` is not listed or does not open it: what is stored is well,
   * and can be read once the right key is listed again.
   */
  unwrap(id: string, upload: string, wrapped: string): KeyObject {
    const bytes = Buffer.from(wrapped, 'base64url')
    const salt = bytes.subarray(0, SALT_BYTES)
    const key = this.#wrappingKey(id, salt, upload)
    try {
      if (bytes.length !== WRAPPED_BYTES) throw new Error(`a wrapped key of ${bytes.length} bytes`)
      const decipher = createDecipheriv(ALGORITHM, key, NONCE, { authTagLength: TAG_BYTES })
      decipher.setAuthTag(bytes.subarray(WRAPPED_BYTES - TAG_BYTES))
      const opened = decipher.update(bytes.subarray(SALT_BYTES, WRAPPED_BYTES - TAG_BYTES))
      return createSecretKey(Buffer.concat([opened, decipher.final()]))
    } catch (cause) {
      throw new UploadError(
        'store_unavailable',
        `The data key of upload ${upload} does not open with the key "${id}": list the key that it was wrapped with.`,
        { cause },
      )
    }
  }

  /** The same data key under the current key. */
  rewrap(id: string, upload: string, wrapped: string): string {
    return this.wrap(upload, this.unwrap(id, upload, wrapped))
  }

  #wrappingKey(id: string, salt: Buffer, upload: string): KeyObject {
    const key = this.#keys.get(id)
    if (!key) {
      throw new UploadError(
        'store_unavailable',
        `Upload ${upload} is encrypted with the key "${id}", which ENCRYPTION_KEYS does not list: add it again.`,
      )
    }
    const derived = hkdfSync('sha256', key, salt, `upload-service data key 1\0${upload}`, 32)
    return createSecretKey(Buffer.from(derived))
  }
}

/** A new data key: 256 random bits. */
export function newDataKey(): KeyObject {
  return createSecretKey(randomBytes(DATA_KEY_BYTES))
}
