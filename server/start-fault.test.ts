import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { cannotListen, StartFault } from './start-fault.ts'

async function failureAt(host: string, port: number): Promise<unknown> {
  const server = createServer().listen(port, host)
  const [error] = await once(server, 'error')
  return cannotListen(error, host, port)
}

test('why a server cannot listen, as Node says it, becomes a sentence with what to do', async () => {
  const first = createServer().listen(0, '127.0.0.1')
  await once(first, 'listening')
  const address = first.address()
  assert.ok(address !== null && typeof address === 'object')
  const { port } = address
  const taken = await failureAt('127.0.0.1', port)
  assert.ok(taken instanceof StartFault)
  assert.match(taken.message, new RegExp(`^Port ${port} of 127.0.0.1 is in use\\..* PORT=\\d+$`))
  first.close()
  const foreign = await failureAt('192.0.2.1', 0)
  assert.ok(foreign instanceof StartFault)
  assert.match(foreign.message, /^HOST is "192\.0\.2\.1", which is no address of this machine/)
})

test('a port that is not for this user, and any other error', () => {
  const refused = cannotListen(Object.assign(new Error('x'), { code: 'EACCES' }), '0.0.0.0', 80)
  assert.ok(refused instanceof StartFault)
  assert.match(refused.message, /^Port 80 of 0\.0\.0\.0 is not for this user: give a PORT of 1024 or more/)
  const other = new Error('something else')
  assert.equal(cannotListen(other, '0.0.0.0', 80), other)
})
