import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, test } from 'node:test'
import { exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { type ErrorCode, UploadError } from '../uploads/errors.ts'
import { ANONYMOUS, type AuthOptions, createAuthenticator } from './authenticator.ts'

const SECRET = 'correct-horse-battery-staple-0123456789'
const DEFAULTS = { issuer: null, audience: null, tenantClaim: 'tenant', rolesClaim: 'roles' } as const

function withSecret(more: Partial<Extract<AuthOptions, { mode: 'jwt' }>> = {}) {
  return createAuthenticator({ mode: 'jwt', key: { kind: 'secret', secret: SECRET }, ...DEFAULTS, ...more })
}

async function hs(claims: JWTPayload, { alg = 'HS256', secret = SECRET } = {}): Promise<string> {
  const token = new SignJWT({ exp: Math.floor(Date.now() / 1000) + 60, ...claims }).setProtectedHeader({ alg })
  return `Bearer ${await token.sign(Buffer.from(secret))}`
}

function refused(code: ErrorCode, message?: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof UploadError)
    assert.equal(error.code, code, error.message)
    if (message) assert.match(error.message, message)
    return true
  }
}

test('mode none: everybody is anonymous in the default tenant, whatever the header says', async () => {
  const { authenticate } = createAuthenticator({ mode: 'none' })
  assert.deepEqual(await authenticate(undefined), {
    subject: 'anonymous',
    tenant: 'default',
    roles: ['uploader', 'reader'],
  })
  assert.equal(await authenticate('Bearer nonsense'), ANONYMOUS)
})

describe('a shared secret', () => {
  for (const alg of ['HS256', 'HS384', 'HS512']) {
    test(`${alg} is taken`, async () => {
      const principal = await withSecret().authenticate(await hs({ sub: 'ann' }, { alg }))
      assert.deepEqual(principal, { subject: 'ann', tenant: 'default', roles: ['uploader', 'reader'] })
    })
  }

  test('another secret, an altered token and a token of another kind are refused', async () => {
    const { authenticate } = withSecret()
    const good = await hs({ sub: 'ann' })
    await assert.rejects(
      authenticate(await hs({ sub: 'ann' }, { secret: SECRET.toUpperCase() })),
      refused('unauthenticated'),
    )
    const [head, , mac] = good.slice('Bearer '.length).split('.')
    const forged = Buffer.from('{"sub":"root"}').toString('base64url')
    await assert.rejects(authenticate(`Bearer ${head}.${forged}.${mac}`), refused('unauthenticated', /not valid/))
    const { privateKey } = await generateKeyPair('RS256')
    const rs = await new SignJWT({ sub: 'ann' }).setProtectedHeader({ alg: 'RS256' }).sign(privateKey)
    await assert.rejects(authenticate(`Bearer ${rs}`), refused('unauthenticated'))
  })

  test('alg none is refused', async () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    for (const alg of ['none', 'None']) {
      const token = `${part({ alg })}.${part({ sub: 'ann' })}.`
      await assert.rejects(withSecret().authenticate(`Bearer ${token}`), refused('unauthenticated'))
    }
  })

  test('a PEM key as a secret stops the start', () => {
    const key = { kind: 'secret', secret: '-----BEGIN PUBLIC KEY-----' } as const
    assert.throws(() => createAuthenticator({ mode: 'jwt', key, ...DEFAULTS }), /public key/)
  })

  test('a header that is no bearer token is refused, and never repeated in the message', async () => {
    const { authenticate } = withSecret()
    await assert.rejects(authenticate(undefined), refused('unauthenticated', /No token/))
    for (const header of ['', 'Bearer', 'Bearer ', 'Basic YTpi', 'Bearer a b', 'Bearer hunter2', 'Token hunter2']) {
      await assert.rejects(authenticate(header), (error) => {
        assert.ok(error instanceof UploadError && error.code === 'unauthenticated', header)
        assert.ok(!error.message.includes('hunter2'))
        return true
      })
    }
    const lower = (await hs({ sub: 'ann' })).replace('Bearer', 'bearer')
    assert.equal((await authenticate(lower)).subject, 'ann')
  })

  test('times: expired and not yet valid are refused, with little tolerance', async () => {
    const { authenticate } = withSecret()
    const now = Math.floor(Date.now() / 1000)
    await assert.rejects(authenticate(await hs({ sub: 'ann', exp: now - 60 })), refused('unauthenticated', /expired/))
    await assert.rejects(authenticate(await hs({ sub: 'ann', nbf: now + 60 })), refused('unauthenticated', /"nbf"/))
    assert.equal((await authenticate(await hs({ sub: 'ann', exp: now - 1 }))).subject, 'ann')
  })

  test('issuer and audience must be the ones that are set', async () => {
    const { authenticate } = withSecret({ issuer: 'https://id', audience: 'uploads' })
    const right = { sub: 'ann', iss: 'https://id', aud: ['other', 'uploads'] }
    assert.equal((await authenticate(await hs(right))).subject, 'ann')
    await assert.rejects(authenticate(await hs({ ...right, iss: 'https://evil' })), refused('unauthenticated', /"iss"/))
    await assert.rejects(authenticate(await hs({ ...right, aud: 'other' })), refused('unauthenticated', /"aud"/))
    await assert.rejects(authenticate(await hs({ sub: 'ann' })), refused('unauthenticated'))
  })
})

describe('claims', () => {
  const principal = async (claims: JWTPayload, more: Partial<Extract<AuthOptions, { mode: 'jwt' }>> = {}) =>
    withSecret(more).authenticate(await hs(claims))

  test('the subject is required, printable and at most 255 bytes', async () => {
    assert.equal((await principal({ sub: 'ä'.repeat(127) })).subject.length, 127)
    assert.equal((await principal({ sub: 'auth0|Ann B.' })).subject, 'auth0|Ann B.')
    for (const sub of ['', '  ', 'ä'.repeat(128), 'a\nb', 'a\u0000', 'a\u202eb']) {
      await assert.rejects(principal({ sub }), refused('unauthenticated', /"sub"/), JSON.stringify(sub))
    }
    await assert.rejects(principal({}), refused('unauthenticated', /"sub"/))
  })

  test('the tenant comes from its claim, and a wrong one never becomes the default', async () => {
    assert.equal((await principal({ sub: 'a', tenant: 'acme-1' })).tenant, 'acme-1')
    assert.equal((await principal({ sub: 'a', org: { id: 'x' } }, { tenantClaim: 'org.id' })).tenant, 'x')
    assert.equal((await principal({ sub: 'a', 'org.id': 'y' }, { tenantClaim: 'org.id' })).tenant, 'y')
    for (const tenant of ['', 'Acme', '../x', 'a'.repeat(64), 7, null, ['acme']]) {
      await assert.rejects(
        principal({ sub: 'a', tenant }),
        refused('unauthenticated', /"tenant"/),
        JSON.stringify(tenant),
      )
    }
  })

  test('a claim name that every object has is not found in the prototype', async () => {
    const { tenant, roles } = await principal({ sub: 'a' }, { tenantClaim: 'toString', rolesClaim: 'constructor.name' })
    assert.deepEqual([tenant, roles], ['default', ['uploader', 'reader']])
  })

  test('roles: a list or words, foreign ones count for nothing', async () => {
    const roles = async (value: unknown) => (await principal({ sub: 'a', roles: value })).roles
    assert.deepEqual(await roles(['admin', 'offline_access']), ['admin'])
    assert.deepEqual(await roles('reader operator'), ['reader', 'operator'])
    assert.deepEqual(await roles([]), [])
    await assert.rejects(roles(7), refused('unauthenticated', /"roles"/))
    await assert.rejects(roles(null), refused('unauthenticated', /"roles"/))
  })
})

describe('a public key', () => {
  for (const alg of ['RS256', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']) {
    test(`${alg} is taken, with this key only`, async () => {
      const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
      const stranger = await generateKeyPair(alg)
      const pem = await exportSPKI(publicKey)
      const { authenticate } = createAuthenticator({ mode: 'jwt', key: { kind: 'publicKey', pem }, ...DEFAULTS })
      const token = (key: typeof privateKey) => new SignJWT({ sub: 'ann' }).setProtectedHeader({ alg }).sign(key)
      assert.equal((await authenticate(`Bearer ${await token(privateKey)}`)).subject, 'ann')
      await assert.rejects(authenticate(`Bearer ${await token(stranger.privateKey)}`), refused('unauthenticated'))
    })
  }

  test('HS256 signed with the public key as its secret is refused', async () => {
    const { publicKey } = await generateKeyPair('RS256', { extractable: true })
    const pem = await exportSPKI(publicKey)
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const signed = `${part({ alg: 'HS256' })}.${part({ sub: 'root' })}`
    const mac = createHmac('sha256', pem).update(signed).digest('base64url')
    const { authenticate } = createAuthenticator({ mode: 'jwt', key: { kind: 'publicKey', pem }, ...DEFAULTS })
    await assert.rejects(authenticate(`Bearer ${signed}.${mac}`), refused('unauthenticated'))
  })

  test('a key of a kind that no algorithm of ours takes stops the start', async () => {
    const { publicKey } = await generateKeyPair('ECDH-ES', { crv: 'X25519', extractable: true })
    const key = { kind: 'publicKey', pem: await exportSPKI(publicKey) } as const
    assert.throws(() => createAuthenticator({ mode: 'jwt', key, ...DEFAULTS }), /x25519 cannot be used/)
  })
})
