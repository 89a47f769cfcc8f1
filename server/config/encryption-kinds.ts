import { type Kind, Refusal } from './kinds.ts'

/** One of ENCRYPTION_KEYS; `secret` is base64 of 32 bytes. */
export interface NamedKey {
  readonly id: string
  readonly secret: string
}

const KEY_BYTES = 32
const ID = /^[A-Za-z0-9._-]{1,64}$/

/** What is wrong with one item; empty when nothing is. Never shows what may be a secret. */
function faultsOf(item: string, index: number): string[] {
  const [id = '', secret, ...more] = item.split(':')
  if (secret === undefined || more.length > 0) return [`entry ${index + 1} has no form name:key`]
  const faults: string[] = []
  if (!ID.test(id)) faults.push(`entry ${index + 1} has a name that is not 1 to 64 letters, digits, ".", "_" and "-"`)
  if (!isKey(secret)) faults.push(`the key of entry ${index + 1} is no base64 of ${KEY_BYTES} bytes`)
  return faults
}

function isKey(text: string): boolean {
  return /^[A-Za-z0-9+/_-]{43}=?$/.test(text) && Buffer.from(text, 'base64').length === KEY_BYTES
}

/** `name:key` pairs, separated by commas, each name and each key once. */
export function encryptionKeys(): Kind<readonly NamedKey[]> {
  return {
    name: 'list of name:key',
    read(text) {
      const items = text.split(',').map((item) => item.trim())
      const faults = items.flatMap(faultsOf)
      const keys = items.map((item) => {
        const [id = '', secret = ''] = item.split(':')
        return { id, secret: Buffer.from(secret, 'base64').toString('base64') }
      })
      if (new Set(keys.map(({ id }) => id)).size < keys.length) faults.push('a name comes twice')
      if (new Set(keys.map(({ secret }) => secret)).size < keys.length) faults.push('a key comes twice')
      if (faults.length === 0) return keys
      return new Refusal(`${faults.join('; ')}: give name:key pairs, a key for example from openssl rand -base64 32`)
    },
    write: (value) => value.map(({ id }) => `${id}:…`).join(','),
  }
}
