import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { EVENTS, Server } from '@tus/server'
import { TusServer } from '../../../server/tus/server.ts'
import { createFakeEngine } from './fake-engine.ts'

async function versionOf(name: string): Promise<unknown> {
  const text = await readFile(new URL(`../../../node_modules/${name}/package.json`, import.meta.url), 'utf8')
  return JSON.parse(text).version
}

function tusServer(): TusServer {
  return new TusServer({
    engine: createFakeEngine(),
    path: '/files',
    expires: true,
    principalOf: () => ({ subject: 'a', tenant: 'default', roles: [] }),
    locate: (_req, id) => `/files/${id}`,
  })
}

test('the versions that server/tus was written against (docs/decisions/001-tus-server-seam.md before moving them)', async () => {
  assert.equal(await versionOf('@tus/server'), '2.4.5')
  assert.equal(await versionOf('srvx'), '0.11.22')
})

test('every handler is ours, and upstream’s own are gone', () => {
  const server = tusServer()
  assert.ok(server instanceof Server)
  const names = Object.values(server.handlers).map((handler) => handler.constructor.name)
  assert.deepEqual(new Set(names), new Set(['Seat']))
  assert.equal(names.length, 6)
})

test('listeners of upstream’s events reach our handlers', () => {
  const server = tusServer()
  const listener = (): void => {}
  server.on(EVENTS.POST_FINISH, listener)
  assert.equal(server.handlers.PATCH.listenerCount(EVENTS.POST_FINISH), 1)
  server.off(EVENTS.POST_FINISH, listener)
  assert.equal(server.handlers.PATCH.listenerCount(EVENTS.POST_FINISH), 0)
})
