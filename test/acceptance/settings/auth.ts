/** Who is let in, and whose uploads are whose. */
import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { exportJWK, type JWTPayload, SignJWT } from 'jose'
import type { RunningService } from '../../support/service.ts'
import { UPLOADS } from '../support/tus.ts'
import { type Stage, shows } from './stage.ts'

const SECRET = 'a secret of the tests, of more than 32 bytes'
const LIFECYCLE = pathToFileURL(join(import.meta.dirname, '..', '..', '..', 'hooks', 'lifecycle.ts')).href

export function authSettings(): void {
  shows('AUTH_MODE JWT_SECRET JWT_ISSUER JWT_AUDIENCE', 'tokens with a shared secret', async (stage) => {
    const env = { AUTH_MODE: 'jwt', JWT_SECRET: SECRET }
    const open = await stage.start({ AUTH_MODE: 'none' })
    const any = await stage.start(env)
    const strict = await stage.start({ ...env, JWT_ISSUER: 'https://id.example.com', JWT_AUDIENCE: 'uploads' })
    const claims = { iss: 'https://id.example.com', aud: ['uploads', 'more'] }
    assert.equal((await create(open, null)).status, 201)
    assert.equal((await create(any, null)).status, 401)
    assert.equal((await create(any, await signed({}))).status, 201)
    assert.equal((await create(any, await signed({}, 'another secret, just as long as the first'))).status, 401)
    assert.equal((await create(any, await signed({ exp: 1 }))).status, 401)
    assert.equal((await create(strict, await signed(claims))).status, 201)
    assert.equal((await create(strict, await signed({ ...claims, iss: 'https://evil.example.com' }))).status, 401)
    assert.equal((await create(strict, await signed({ ...claims, aud: 'another service' }))).status, 401)
    assert.match(await (await fetch(any.url)).text(), /"authMode":"jwt"/, 'the upload page asks for a token')
  })

  shows('JWT_PUBLIC_KEY JWT_JWKS_URL', 'tokens with a key pair', async (stage) => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const pem = String(publicKey.export({ type: 'spki', format: 'pem' })).replaceAll('\n', '\\n')
    const keys = createServer(async (_req, res) => {
      res.setHeader('Content-Type', 'application/json')
      res.end(JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256', kid: 'one' }] }))
    })
    keys.listen(0, '127.0.0.1')
    await once(keys, 'listening')
    stage.later(() => keys.close())
    const address = keys.address()
    assert.ok(address !== null && typeof address === 'object')
    for (const env of [{ JWT_PUBLIC_KEY: pem }, { JWT_JWKS_URL: `http://127.0.0.1:${address.port}/keys` }]) {
      const service = await stage.start({ AUTH_MODE: 'jwt', ...env })
      assert.equal((await create(service, await signed({}, privateKey))).status, 201)
      assert.equal((await create(service, await signed({}, stranger.privateKey))).status, 401)
      assert.equal((await create(service, await signed({}))).status, 401)
    }
    keys.closeAllConnections()
  })

  shows('JWT_TENANT_CLAIM JWT_ROLES_CLAIM', 'which claims say tenant and roles', async (stage) => {
    const env = { AUTH_MODE: 'jwt', JWT_SECRET: SECRET, HOOKS_MODULE: await operatorsOnly(stage) }
    const service = await stage.start({ ...env, JWT_TENANT_CLAIM: 'org', JWT_ROLES_CLAIM: 'realm.roles' })
    const roles = { realm: { roles: ['uploader', 'reader', 'operator'] } }
    const refused = await create(service, await signed({ org: 'a', roles: ['uploader', 'operator'] }))
    assert.equal(refused.status, 403, 'the claim "roles" is not the one')
    const created = await create(service, await signed({ org: 'a', ...roles }))
    assert.equal(created.status, 201)
    const { pathname } = new URL(created.headers.get('location') ?? '')
    const seen = async (claims: JWTPayload) => (await head(service, pathname, await signed(claims))).status
    assert.equal(await seen({ org: 'a' }), 200)
    assert.equal(await seen({ org: 'b' }), 404, 'another tenant')
    assert.equal(await seen({ tenant: 'a' }), 404, 'the claim "tenant" is not the one')
  })
}

function signed(claims: JWTPayload, key: string | KeyObject = SECRET): Promise<string> {
  const alg = typeof key === 'string' ? 'HS256' : 'ES256'
  return new SignJWT({ sub: 'somebody', exp: Math.floor(Date.now() / 1000) + 60, ...claims })
    .setProtectedHeader({ alg, ...(typeof key === 'string' ? {} : { kid: 'one' }) })
    .sign(typeof key === 'string' ? Buffer.from(key) : key)
}

function create(service: RunningService, token: string | null): Promise<Response> {
  return fetch(`${service.url}${UPLOADS}`, {
    method: 'POST',
    headers: { 'Tus-Resumable': '1.0.0', 'Upload-Length': '1', ...bearer(token) },
  })
}

function head(service: RunningService, path: string, token: string): Promise<Response> {
  return fetch(`${service.url}${path}`, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0', ...bearer(token) } })
}

function bearer(token: string | null): Record<string, string> {
  return token === null ? {} : { Authorization: `Bearer ${token}` }
}

/** Hooks through which the roles of a caller show. */
async function operatorsOnly(stage: Stage): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'upload-hooks-'))
  stage.later(() => rm(dir, { recursive: true, force: true }))
  const file = join(dir, 'hooks.mjs')
  const hook = "({ principal }) => { if (!principal.roles.includes('operator')) refuse(403, 'operators only') }"
  await writeFile(
    file,
    `import { defineHooks, refuse } from ${JSON.stringify(LIFECYCLE)}\nexport default defineHooks({ 'pre-create': ${hook} })\n`,
  )
  return file
}
