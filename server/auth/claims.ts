/** What the claims of a verified token say about the caller. */
import type { JWTPayload } from 'jose'
import type { Principal, Role } from '../uploads/words.ts'

/** A verified token whose claims do not name a caller of ours. The message is for the caller. */
export class ClaimFault extends Error {}

/** Which claims to read; a dot leads into an object (`realm_access.roles`), unless a claim has the whole name. */
export interface ClaimNames {
  readonly tenant: string
  readonly roles: string
}

const OWNER_BYTES = 255
const TENANT = /^[a-z0-9-]{1,63}$/
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u
const ROLES: readonly Role[] = ['uploader', 'reader', 'operator', 'admin']
const DEFAULT_ROLES: readonly Role[] = ['uploader', 'reader']

/** Throws {@link ClaimFault}. */
export function principalOf(payload: JWTPayload, names: ClaimNames): Principal {
  return {
    subject: subjectOf(payload.sub),
    tenant: tenantOf(claim(payload, names.tenant), names.tenant),
    roles: rolesOf(claim(payload, names.roles), names.roles),
  }
}

function claim(payload: object, name: string): unknown {
  if (Object.hasOwn(payload, name)) return Reflect.get(payload, name)
  let value: unknown = payload
  for (const step of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = Reflect.get(value, step)
  }
  return value
}

function subjectOf(sub: unknown): string {
  if (typeof sub !== 'string' || sub.trim() === '') throw new ClaimFault('The token\'s claim "sub" is missing or empty')
  if (Buffer.byteLength(sub) > OWNER_BYTES || UNPRINTABLE.test(sub)) {
    throw new ClaimFault(`The token's claim "sub" is longer than ${OWNER_BYTES} bytes or not printable`)
  }
  return sub
}

function tenantOf(value: unknown, name: string): string {
  if (value === undefined) return 'default'
  if (typeof value !== 'string' || !TENANT.test(value)) {
    throw new ClaimFault(`The token's claim "${name}" is no tenant: 1 to 63 of a-z, 0-9 and "-"`)
  }
  return value
}

/** Words that are no roles of ours are other services' and count for nothing. */
function rolesOf(value: unknown, name: string): readonly Role[] {
  if (value === undefined) return DEFAULT_ROLES
  const words = typeof value === 'string' ? value.split(/\s+/) : value
  if (!Array.isArray(words)) throw new ClaimFault(`The token's claim "${name}" is neither a list nor words`)
  return ROLES.filter((role) => words.includes(role))
}
