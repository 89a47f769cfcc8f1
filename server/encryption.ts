import type { Config } from './config/config.ts'
import type { Log } from './observability/log.ts'
import { type Encryption, type EncryptionKey, withEncryption } from './storage/encryption/index.ts'
import type { Stores } from './uploads/ports/byte-store.ts'

/** The keys of ENCRYPTION_KEYS, the current one first. */
export function encryptionKeys({ encryption }: Config): EncryptionKey[] {
  return encryption.keys.map(({ id, secret }) => ({ id, key: Buffer.from(secret, 'base64') }))
}

/**
 * What opens encrypted uploads, and encrypts new ones where the configuration says so. Also without any key: what is
 * encrypted is then refused, and never handed out as it is stored.
 */
export function openEncryption(
  config: Config,
  stores: Stores,
  log: Pick<Log, 'damaged'>,
  counted: () => void,
): Encryption {
  return withEncryption(stores, {
    keys: encryptionKeys(config),
    encryptNew: config.encryption.encryptNew,
    damaged(uploadId, key, error) {
      counted()
      log.damaged({ uploadId, key }, error)
    },
  })
}
