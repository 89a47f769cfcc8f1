export { type EncryptionKey, Keyring } from './keyring.ts'
export { type Encryption, withEncryption } from './stores.ts'
