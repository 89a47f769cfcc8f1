import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Allowance } from './allowance.ts'
import { type Holder, Memory } from './memory.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** A connection that brings what the test says. */
class Client implements Holder {
  readonly small: boolean
  readonly memory: Memory
  bytes = 0
  since = 0
  lastByteAt = Date.now()
  reading = false
  flushes = 0

  constructor(memory: Memory, small = false) {
    this.memory = memory
    this.small = small
    memory.enter(this)
    this.reading = memory.mayRead(this)
  }

  get flushableBytes(): number {
    return this.bytes
  }

  brings(bytes: number): void {
    assert.ok(this.reading)
    this.bytes += bytes
    this.lastByteAt = Date.now()
    this.memory.take(bytes)
  }

  stored(): void {
    const { bytes } = this
    this.bytes = 0
    this.memory.give(bytes)
    this.memory.flushed(this)
  }

  requestFlush(): void {
    this.flushes++
  }

  rest(): void {
    this.reading = false
  }

  readOn(): void {
    this.reading = this.memory.mayRead(this)
  }
}

const memoryOf = (limitBytes: number, dropClean: (bytes: number) => number = () => 0): Memory =>
  new Memory({ limitBytes, warningShare: 0.5, dropClean })

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('over the warning share clean tails go first, then the oldest with enough to flush', () => {
  let clean = 200 * KIB
  const memory = memoryOf(4 * MIB, (bytes) => {
    const dropped = Math.min(clean, bytes)
    clean -= dropped
    memory.give(dropped)
    return dropped
  })
  memory.take(clean)
  const [young, old, little] = [new Client(memory), new Client(memory), new Client(memory)]
  young.since = 2
  old.since = 1
  young.brings(900 * KIB)
  old.brings(900 * KIB)
  assert.deepEqual([young.flushes, old.flushes], [0, 0])
  little.brings(100 * KIB)
  assert.deepEqual([young.flushes, old.flushes, clean], [0, 0, 148 * KIB])
  little.brings(148 * KIB)
  assert.deepEqual([young.flushes, old.flushes, clean], [0, 0, 0])
  old.brings(1 * KIB)
  assert.deepEqual([young.flushes, old.flushes, little.flushes], [0, 1, 0], 'one is enough')
  old.stored()
  assert.deepEqual([young.flushes, old.flushes], [0, 1])
})

test('when it is spent every connection rests, and they are read on in order as bytes come back', async () => {
  const memory = memoryOf(4 * MIB)
  const clients = Array.from({ length: 60 }, () => new Client(memory))
  let resting: Client[] = []
  for (let index = 0; clients.some(({ reading }) => reading); index++) {
    const client = clients[index % clients.length]
    if (client?.reading) client.brings(64 * KIB)
    resting = clients.filter(({ reading }) => !reading)
  }
  assert.ok(memory.usedBytes >= 0.81 * 4 * MIB && memory.usedBytes <= 0.81 * 4 * MIB + 64 * KIB)
  assert.equal(resting.length, 60)
  assert.equal(memory.waiting, 60)
  assert.equal(clients.filter(({ flushes }) => flushes === 1).length, 16, 'sixteen are asked at once')
  clients.find(({ flushes }) => flushes === 1)?.stored()
  await turn()
  await turn()
  const reading = clients.filter((client) => client.reading)
  assert.ok(reading.length >= 1, 'there is room again')
  for (const client of reading) if (client.reading) client.brings(64 * KIB)
  assert.ok(memory.usedBytes <= 0.81 * 4 * MIB + 64 * KIB, `${memory.usedBytes} bytes`)
})

test('who is read on and has nothing to bring does not keep the others waiting', async () => {
  const memory = memoryOf(4 * MIB)
  const full = new Client(memory)
  const others = Array.from({ length: 40 }, () => new Client(memory))
  full.brings(3.25 * MIB)
  assert.equal(memory.waiting, 41)
  memory.give(80 * KIB)
  for (let turns = 0; turns < 45; turns++) await turn()
  assert.ok(others.every(({ reading }) => reading))
})

test('a small body is read while there is a reserve, and a quiet connection stays open', () => {
  const memory = memoryOf(4 * MIB)
  const quiet = new Client(memory)
  quiet.lastByteAt = Date.now() - 6000
  const big = new Client(memory)
  big.brings(3.25 * MIB)
  assert.equal(big.reading, false)
  assert.equal(quiet.reading, true)
  const small = new Client(memory, true)
  assert.equal(small.reading, true)
  small.brings(10 * KIB)
  assert.equal(small.reading, true)
  quiet.brings(200 * KIB)
  assert.deepEqual([quiet.reading, small.reading], [false, false])
})

test('an allowance: first come, first served; who wants more than there is waits to be alone', async () => {
  const allowance = new Allowance(10)
  const granted: string[] = []
  const want = (name: string, amount: number): Promise<void> =>
    allowance.borrow(amount).then(() => void granted.push(name))
  await want('a', 6)
  const waiting = [want('much', 30), want('b', 1)]
  await turn()
  assert.deepEqual(granted, ['a'])
  allowance.repay(6)
  await waiting[0]
  assert.deepEqual(granted, ['a', 'much'])
  allowance.repay(30)
  await waiting[1]
  assert.deepEqual(granted, ['a', 'much', 'b'])
})
