import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { type Balancer, startBalancer } from './balancer.ts'

interface Instance {
  readonly url: string
  readonly seen: { method: string; url: string; bytes: number; ended: boolean }[]
  close(): Promise<void>
}

let open: { close(): Promise<void> }[] = []
afterEach(async () => {
  await Promise.all(open.map((one) => one.close()))
  open = []
})

type Handler = (req: IncomingMessage, res: ServerResponse) => void

async function instance(name: string, handle?: Handler): Promise<Instance> {
  const seen: Instance['seen'] = []
  const server: Server = createServer((req, res) => {
    const record = { method: req.method ?? '', url: req.url ?? '', bytes: 0, ended: false }
    seen.push(record)
    req.on('data', (chunk: Buffer) => {
      record.bytes += chunk.length
    })
    req.on('error', () => {})
    req.on('end', () => {
      record.ended = true
      if (handle) return
      res.writeHead(req.method === 'POST' ? 201 : 200, { 'X-Instance': name, Location: '/files/new?x=1' }).end(name)
    })
    handle?.(req, res)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const closing = async (): Promise<void> => {
    if (!server.listening) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  const one = { url: `http://127.0.0.1:${port}`, seen, close: closing }
  open.push(one)
  return one
}

async function balance(...instances: Instance[]): Promise<Balancer> {
  const balancer = await startBalancer(instances.map(({ url }) => url))
  open.push(balancer)
  return balancer
}

async function patch(url: string, bytes: number): Promise<string> {
  const answer = await fetch(url, { method: 'PATCH', body: Buffer.alloc(bytes, 7) })
  return answer.text()
}

test('requests of one upload never go to the same instance twice in a row, the one after a POST included', async () => {
  const [a, b] = [await instance('a'), await instance('b')]
  const balancer = await balance(a, b)
  for (let i = 0; i < 3; i += 1) {
    const made = await fetch(`${balancer.url}/files`, { method: 'POST' })
    const names = [await made.text()]
    for (let k = 0; k < 3; k += 1) names.push(await patch(`${balancer.url}/files/new`, 10))
    assert.ok(['abab', 'baba'].includes(names.join('')), names.join(''))
  }
  assert.ok(balancer.exchanges.every(({ status }) => status === 200 || status === 201))
})

test('an instance that refuses is passed over; with none up the answer is 503', async () => {
  const [a, b] = [await instance('a'), await instance('b')]
  const balancer = await balance(a, b)
  await a.close()
  assert.deepEqual(
    await Promise.all([patch(`${balancer.url}/x`, 5), patch(`${balancer.url}/y`, 5), patch(`${balancer.url}/z`, 5)]),
    ['b', 'b', 'b'],
  )
  assert.ok(balancer.exchanges.some(({ refusedBy }) => refusedBy.includes(0)))
  await b.close()
  const answer = await fetch(`${balancer.url}/x`)
  assert.equal(answer.status, 503)
})

test('a cut after N bytes gives the instance exactly N bytes and both sides a broken connection', async () => {
  const a = await instance('a')
  const balancer = await balance(a)
  const cut = balancer.cut({ afterBytes: 100_000, skip: 1 })
  assert.equal(await patch(`${balancer.url}/x`, 300_000), 'a')
  await patch(`${balancer.url}/x`, 50_000)
  await assert.rejects(patch(`${balancer.url}/x`, 300_000))
  const exchange = await cut
  assert.equal(exchange.bytes, 100_000)
  assert.ok(exchange.wasCut)
  assert.deepEqual(
    a.seen.map(({ bytes, ended }) => [bytes, ended]),
    [
      [300_000, true],
      [50_000, true],
      [100_000, false],
    ],
  )
})

test('a trigger runs in mid-body and the rest of the body still arrives', async () => {
  const a = await instance('a')
  const balancer = await balance(a)
  let at = -1
  const met = balancer.when({ afterBytes: 12_345 }, ({ bytes }) => {
    at = bytes
  })
  assert.equal(await patch(`${balancer.url}/x`, 1_000_000), 'a')
  await met
  assert.equal(at, 12_345)
  assert.equal(a.seen[0]?.bytes, 1_000_000)
})

test('an answer before the end of the body reaches the client and closes its connection', async () => {
  const a = await instance('a', (req, res) => {
    req.once('data', () => {
      res.writeHead(423, { 'Retry-After': '1', Connection: 'close' }).end()
    })
  })
  const balancer = await balance(a)
  const req = request(`${balancer.url}/x`, { method: 'PATCH', headers: { 'Content-Length': 10_000_000 } })
  req.on('error', () => {})
  req.write(Buffer.alloc(1000))
  const [answer] = (await once(req, 'response')) as [IncomingMessage]
  assert.equal(answer.statusCode, 423)
  assert.equal(answer.headers.connection, 'close')
  answer.resume()
  req.destroy()
})

test('100-continue and other interim answers pass', async () => {
  const a = await instance('a', (req, res) => {
    res.writeInformation(104, { 'Upload-Draft': '8' })
    req.on('end', () => res.writeHead(204).end())
  })
  const balancer = await balance(a)
  const req = request(`${balancer.url}/x`, {
    method: 'PATCH',
    headers: { 'Content-Length': 3, Expect: '100-continue' },
  })
  const interim: number[] = []
  req.on('information', ({ statusCode }) => interim.push(statusCode))
  req.on('continue', () => req.end('abc'))
  req.flushHeaders()
  const [answer] = (await once(req, 'response')) as [IncomingMessage]
  answer.resume()
  assert.equal(answer.statusCode, 204)
  assert.deepEqual(
    interim.filter((status) => status !== 100),
    [104],
  )
})

test('requests over one kept-alive connection leave no listener behind', async () => {
  const a = await instance('a')
  const balancer = await balance(a)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const used = new Set<number | undefined>()
  const warnings: Error[] = []
  const note = (warning: Error): void => void warnings.push(warning)
  process.on('warning', note)
  try {
    for (let i = 0; i < 15; i += 1) {
      const req = request(`${balancer.url}/x`, { method: 'PATCH', agent }).end('0123456789')
      const [answer] = (await once(req, 'response')) as [IncomingMessage]
      await once(answer.resume(), 'close')
      used.add(req.socket?.localPort)
    }
    await setImmediate()
  } finally {
    agent.destroy()
    process.off('warning', note)
  }
  assert.equal(used.size, 1, 'the connection was not kept')
  assert.deepEqual(
    warnings.map(({ message }) => message),
    [],
  )
})

test('an instance that dies in mid-answer breaks the connection of the client', async () => {
  const a = await instance('a', (req, res) => {
    req.resume()
    res.writeHead(200, { 'Content-Length': 1000 }).write('half')
    void setImmediate().then(() => req.socket.resetAndDestroy())
  })
  const balancer = await balance(a)
  await assert.rejects(fetch(`${balancer.url}/x`).then((answer) => answer.text()))
})
