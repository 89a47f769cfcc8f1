import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUploadId } from '../../uploads/id.ts'
import type { Message } from '../../uploads/ports/coordination.ts'
import { coordinationContract } from '../contract.ts'
import { createMemoryCoordination, MemoryState } from './index.ts'

coordinationContract('memory', async () => {
  const state = new MemoryState()
  const one = createMemoryCoordination({ state, instance: 'one' })
  const two = createMemoryCoordination({ state, instance: 'two' })
  return {
    one,
    two,
    forget: async () => state.forget(),
    end: async () => {
      await one.close()
      await two.close()
    },
  }
})

const SESSION = { generation: 1, multipartId: null, start: 0, offset: 7, tails: [], tailed: false }

test('the clock is the one that was given', async () => {
  let now = 1000
  const one = createMemoryCoordination({ state: new MemoryState({ now: () => now }) })
  const id = newUploadId()
  await one.take(id, 'a', 3000)
  now += 2999
  assert.deepEqual(await one.take(id, 'b', 3000), { kind: 'held', holder: one.instance, leaseLeftMs: 1 })
  now += 1
  assert.deepEqual(await one.take(id, 'b', 3000), { kind: 'rebuild' })
})

test('a session that nobody touches does not stay for ever', async () => {
  let now = 0
  const state = new MemoryState({ now: () => now, sessionTtlMs: 1000 })
  const one = createMemoryCoordination({ state })
  const [old, recent] = [newUploadId(), newUploadId()]
  await one.take(old, 'a', 1)
  await one.save(old, 'a', SESSION)
  now = 999
  assert.equal((await one.peek(old)).kind, 'dead')
  now = 1000
  await one.take(recent, 'b', 1)
  assert.equal(state.size, 1)
  assert.deepEqual(await one.peek(old), { kind: 'missing' })
})

test('what was handed in or out may be changed afterwards', async () => {
  const one = createMemoryCoordination()
  const id = newUploadId()
  await one.take(id, 'a', 1000)
  const tails = [{ generation: 1, token: 'a', start: 0, end: 7 }]
  await one.save(id, 'a', { ...SESSION, tails })
  tails.length = 0
  const peek = await one.peek(id)
  assert.equal(peek.kind === 'held' && peek.session?.tails.length, 1)
})

test('a handler that throws is reported and hears the next message; after close nothing is heard or done', async () => {
  const errors: unknown[] = []
  const one = createMemoryCoordination({ onError: (error) => errors.push(error) })
  const upload = newUploadId()
  const heard: Message[] = []
  await one.listen((message) => {
    heard.push(message)
    if (heard.length === 1) throw new Error('first')
  })
  await one.tell(one.instance, { type: 'free', upload })
  assert.equal(heard.length, 0, 'never within the call that tells')
  await one.tell(one.instance, { type: 'offset', upload, offset: 1 })
  await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(
    heard.map(({ type }) => type),
    ['free', 'offset'],
  )
  assert.match(String(errors[0]), /first/)
  await one.close()
  await assert.rejects(one.take(upload, 'a', 1), { code: 'coordination_unavailable' })
  await assert.rejects(one.ping(), { code: 'coordination_unavailable' })
})
