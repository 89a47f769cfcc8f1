/** Tokens of the tests: a shared secret, and who it signs for. */
import { SignJWT } from 'jose'

const SECRET = 'a secret of the tests, of more than 32 bytes'

/** The settings of a service that takes these tokens. */
export const TOKEN_ENV = { AUTH_MODE: 'jwt', JWT_SECRET: SECRET } as const

/** `Authorization` of a caller. */
export async function bearer(caller: {
  readonly sub: string
  readonly roles: readonly string[]
  readonly tenant?: string
}): Promise<{ readonly Authorization: string }> {
  const token = await new SignJWT({ ...caller }).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(SECRET))
  return { Authorization: `Bearer ${token}` }
}
