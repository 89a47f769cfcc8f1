/** Who is calling: from the `Authorization` header to a principal. */
import { errors } from 'jose'
import { UploadError } from '../uploads/errors.ts'
import type { Principal } from '../uploads/words.ts'
import { ClaimFault, type ClaimNames, principalOf } from './claims.ts'
import { JwksAway } from './jwks.ts'
import { createVerifier, type JwtKey } from './verifier.ts'

/** `config.auth` fits as it is. */
export type AuthOptions =
  | { readonly mode: 'none' }
  | {
      readonly mode: 'jwt'
      readonly key: JwtKey
      /** `iss` must be this; null: any. */
      readonly issuer: string | null
      /** `aud` must be or contain this; null: any. */
      readonly audience: string | null
      readonly tenantClaim: string
      readonly rolesClaim: string
    }

export interface Authenticator {
  /**
   * The caller behind an `Authorization` header. Throws `unauthenticated` (the token is missing or not valid; the
   * message says why, never the token), or `auth_unavailable` when the keys cannot be fetched.
   */
  authenticate(authorization: string | undefined): Promise<Principal>
}

/** Everybody, with AUTH_MODE=none. */
export const ANONYMOUS: Principal = Object.freeze({
  subject: 'anonymous',
  tenant: 'default',
  roles: Object.freeze(['uploader', 'reader'] as const),
})

/** Throws (a plain Error) when the key cannot be used; the configuration has looked at it before. */
export function createAuthenticator(options: AuthOptions): Authenticator {
  if (options.mode === 'none') return { authenticate: async () => ANONYMOUS }
  const verify = createVerifier(options.key, { issuer: options.issuer, audience: options.audience })
  const names: ClaimNames = { tenant: options.tenantClaim, roles: options.rolesClaim }
  return {
    async authenticate(authorization) {
      const token = bearerToken(authorization)
      try {
        return principalOf(await verify(token), names)
      } catch (error) {
        throw refusal(error)
      }
    },
  }
}

/** RFC 6750, section 2.1; the scheme's name is case-insensitive (RFC 9110, section 11.1). */
function bearerToken(authorization: string | undefined): string {
  if (authorization === undefined) {
    throw new UploadError('unauthenticated', 'No token: send Authorization: Bearer and a token')
  }
  const token = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization.trim())?.[1]
  if (token === undefined) {
    throw new UploadError('unauthenticated', 'Authorization is not Bearer followed by one token')
  }
  return token
}

function refusal(error: unknown): UploadError {
  if (error instanceof JwksAway) {
    return new UploadError('auth_unavailable', 'The keys of tokens cannot be fetched; try again', { cause: error })
  }
  return new UploadError('unauthenticated', reason(error), { cause: error })
}

/** What a stranger may know of why a token was refused. */
function reason(error: unknown): string {
  if (error instanceof ClaimFault) return error.message
  if (error instanceof errors.JWTExpired) return 'The token has expired: get a new one'
  if (error instanceof errors.JWTClaimValidationFailed)
    return `The token's claim "${error.claim}" is missing or not accepted here`
  return 'The token is not valid'
}
