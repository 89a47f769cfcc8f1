/** Signatures and times of tokens, by jose. Which algorithms count depends on the key, never on the token. */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { type CryptoKey, errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose'
import { createJwks } from './jwks.ts'

export type JwtKey =
  | { readonly kind: 'secret'; readonly secret: string }
  /** SPKI PEM. */
  | { readonly kind: 'publicKey'; readonly pem: string }
  | { readonly kind: 'jwks'; readonly url: string }

export interface Expected {
  readonly issuer: string | null
  readonly audience: string | null
}

/** Throws an error of jose, or JwksAway. */
export type Verify = (token: string) => Promise<JWTPayload>

const CLOCK_TOLERANCE_SECONDS = 5
const HMAC = ['HS256', 'HS384', 'HS512']
const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
const CURVES: Readonly<Record<string, string>> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' }
const EDWARDS = ['EdDSA', 'Ed25519']
const ASYMMETRIC = [...RSA, ...Object.values(CURVES), ...EDWARDS]

/** Throws a plain Error for a key that cannot be used. */
export function createVerifier(key: JwtKey, expected: Expected): Verify {
  const options = (algorithms: string[]): JWTVerifyOptions => ({
    algorithms,
    clockTolerance: CLOCK_TOLERANCE_SECONDS,
    requiredClaims: ['sub'],
    ...(expected.issuer === null ? {} : { issuer: expected.issuer }),
    ...(expected.audience === null ? {} : { audience: expected.audience }),
  })
  switch (key.kind) {
    case 'secret':
      return withKey(Buffer.from(secretOf(key.secret)), options(HMAC))
    case 'publicKey': {
      const publicKey = createPublicKey(key.pem)
      return withKey(publicKey, options(algorithmsOf(publicKey)))
    }
    case 'jwks':
      return withJwks(key.url, options(ASYMMETRIC))
  }
}

/** A public key as a shared secret would let anybody sign. */
function secretOf(secret: string): string {
  if (secret.includes('-----BEGIN')) throw new Error('A PEM key is no shared secret: give it as a public key')
  return secret
}

function algorithmsOf(key: KeyObject): string[] {
  if (key.asymmetricKeyType === 'rsa') return RSA
  if (key.asymmetricKeyType === 'ed25519') return EDWARDS
  const algorithm = CURVES[key.asymmetricKeyDetails?.namedCurve ?? '']
  if (algorithm === undefined) {
    throw new Error(
      `A public key of type ${key.asymmetricKeyType} cannot be used: give RSA, P-256, P-384, P-521 or Ed25519`,
    )
  }
  return [algorithm]
}

function withKey(key: Uint8Array | KeyObject, options: JWTVerifyOptions): Verify {
  return async (token) => (await jwtVerify(token, key, options)).payload
}

function withJwks(url: string, options: JWTVerifyOptions): Verify {
  const jwks = createJwks({ url })
  return async (token) => {
    try {
      return (await jwtVerify(token, jwks.keyFor, options)).payload
    } catch (error) {
      if (error instanceof errors.JWKSMultipleMatchingKeys) return tryEach(token, error, options)
      throw error
    }
  }
}

/** A token without `kid`, and several keys that fit: the one whose signature matches counts. */
async function tryEach(token: string, keys: AsyncIterable<CryptoKey>, options: JWTVerifyOptions): Promise<JWTPayload> {
  for await (const key of keys) {
    try {
      return (await jwtVerify(token, key, options)).payload
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error
    }
  }
  throw new errors.JWSSignatureVerificationFailed()
}
