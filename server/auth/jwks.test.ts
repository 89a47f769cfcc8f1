import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, before, describe, test } from 'node:test'
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { UploadError } from '../uploads/errors.ts'
import { createAuthenticator } from './authenticator.ts'
import { createJwks, JwksAway } from './jwks.ts'

interface Pair {
  readonly kid: string
  readonly jwk: JWK
  readonly token: (subject?: string, header?: { kid?: string }) => Promise<string>
}

async function pair(kid: string): Promise<Pair> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
  return {
    kid,
    jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' },
    token: (subject = 'ann', header = { kid }) =>
      new SignJWT({ sub: subject }).setProtectedHeader({ alg: 'ES256', ...header }).sign(privateKey),
  }
}

/** A key server whose answer can be changed, and which counts its requests. */
const issuer = {
  url: '',
  requests: 0,
  status: 200,
  body: '',
  serve(...pairs: readonly Pair[]): void {
    this.status = 200
    this.body = JSON.stringify({ keys: pairs.map(({ jwk }) => jwk) })
  },
}

const server = createServer((_request, response) => {
  issuer.requests += 1
  response.writeHead(issuer.status, { 'content-type': 'application/json' }).end(issuer.body)
})

before(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  issuer.url = `http://127.0.0.1:${address.port}/keys`
})

after(() => {
  server.closeAllConnections()
  server.close()
})

function authenticator(url = issuer.url) {
  const claims = { issuer: null, audience: null, tenantClaim: 'tenant', rolesClaim: 'roles' }
  return createAuthenticator({ mode: 'jwt', key: { kind: 'jwks', url }, ...claims })
}

const coded = (code: string) => (error: unknown) => error instanceof UploadError && error.code === code

describe('tokens', () => {
  test('keys are fetched once for many tokens', async () => {
    const one = await pair('one')
    issuer.serve(one)
    issuer.requests = 0
    const { authenticate } = authenticator()
    const tokens = await Promise.all(['ann', 'bob', 'cid'].map((name) => one.token(name)))
    const principals = await Promise.all(tokens.map((token) => authenticate(`Bearer ${token}`)))
    assert.deepEqual(
      principals.map(({ subject }) => subject),
      ['ann', 'bob', 'cid'],
    )
    assert.equal(issuer.requests, 1)
  })

  test('without kid every key that fits is tried, and a stranger is refused', async () => {
    const [one, two, stranger] = [await pair('one'), await pair('two'), await pair('two')]
    issuer.serve(one, two)
    const { authenticate } = authenticator()
    assert.equal((await authenticate(`Bearer ${await two.token('ann', {})}`)).subject, 'ann')
    await assert.rejects(authenticate(`Bearer ${await stranger.token('ann', {})}`), coded('unauthenticated'))
    await assert.rejects(authenticate(`Bearer ${await stranger.token()}`), coded('unauthenticated'))
  })

  test('no keys to be had is not the fault of the caller', async () => {
    const one = await pair('one')
    issuer.status = 500
    const { authenticate } = authenticator()
    const bearer = `Bearer ${await one.token()}`
    await assert.rejects(authenticate(bearer), coded('auth_unavailable'))
    issuer.serve(one)
    assert.equal((await authenticate(bearer)).subject, 'ann')
  })

  test('an answer that is no key set counts as none', async () => {
    const one = await pair('one')
    const { authenticate } = authenticator()
    for (const body of ['{"keys":7}', '<html>', '']) {
      Object.assign(issuer, { status: 200, body })
      await assert.rejects(authenticate(`Bearer ${await one.token()}`), coded('auth_unavailable'))
    }
  })
})

describe('the cache', () => {
  async function setup() {
    const keys = { one: await pair('one'), two: await pair('two') }
    const clock = { ms: 1_000_000 }
    issuer.serve(keys.one)
    issuer.requests = 0
    const jwks = createJwks({ url: issuer.url, freshMs: 1000, staleMs: 10_000, cooldownMs: 100, now: () => clock.ms })
    const ask = async (kid: string) =>
      jwks.keyFor({ alg: 'ES256', kid }, { payload: '', signature: '' }).then(
        () => 'found',
        (error: unknown) => (error instanceof JwksAway ? 'away' : 'unknown'),
      )
    return { ...keys, clock, ask }
  }

  test('a new key is found at once when the last look is long enough ago, else after the cooldown', async () => {
    const { one, two, clock, ask } = await setup()
    assert.equal(await ask('one'), 'found')
    issuer.serve(one, two)
    clock.ms += 50
    assert.equal(await ask('two'), 'unknown')
    assert.equal(issuer.requests, 1)
    clock.ms += 51
    assert.equal(await ask('two'), 'found')
    assert.equal(issuer.requests, 2)
  })

  test('made-up keys ask the issuer once a cooldown, not once a token', async () => {
    const { clock, ask } = await setup()
    await ask('one')
    clock.ms += 101
    for (let n = 0; n < 20; n += 1) assert.equal(await ask(`made-up-${n}`), 'unknown')
    assert.equal(issuer.requests, 2)
  })

  test('with the issuer away known keys stay good until they are stale; unknown ones cannot be judged', async () => {
    const { clock, ask } = await setup()
    await ask('one')
    issuer.status = 503
    clock.ms += 5000
    assert.equal(await ask('one'), 'found')
    assert.equal(await ask('two'), 'away')
    clock.ms += 5001
    assert.equal(await ask('one'), 'away')
    issuer.status = 200
    assert.equal(await ask('one'), 'found')
  })

  test('past its freshness the set is fetched beside, so a withdrawn key goes', async () => {
    const { two, clock, ask } = await setup()
    await ask('one')
    issuer.serve(two)
    clock.ms += 1001
    assert.equal(await ask('one'), 'found', 'the old set answers while the new one comes')
    // an unknown key waits for the fetch that runs
    assert.equal(await ask('two'), 'found')
    assert.equal(await ask('one'), 'unknown')
    assert.equal(issuer.requests, 2)
  })
})
