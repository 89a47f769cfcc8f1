/** What every driver of the queue port has to do. Run against each of them. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, it, type TestContext } from 'node:test'
import { type Handler, type Job, type Message, type Queue, RetryLater, type RetryOptions } from './port.ts'

export interface QueueContract {
  /** A queue that nobody else uses. The suite closes it. */
  open(options: RetryOptions): Queue
}

const message = (n = 1): Message => ({ id: randomUUID(), name: 'upload.uploaded', body: { n } })

/** Collects calls; `reached(n)` resolves when there were n. */
function recorder<T>(): { readonly all: readonly T[]; add(item: T): void; reached(count: number): Promise<void> } {
  const all: T[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  return {
    all,
    add(item) {
      all.push(item)
      for (const { count, resolve } of waiting) if (all.length >= count) resolve()
    },
    reached(count) {
      if (all.length >= count) return Promise.resolve()
      return new Promise((resolve) => waiting.push({ count, resolve }))
    },
  }
}

/** Asks until the answer is yes: for what happens after a handler returned. */
async function eventually(what: string, ask: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    if (await ask()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  assert.fail(`did not come true: ${what}`)
}

export function queueContract(name: string, contract: QueueContract): void {
  const FAST: RetryOptions = { attempts: 3, backoffMs: 50, maxBackoffMs: 200, closeMs: 5_000 }
  const open = (t: TestContext, options: RetryOptions = {}): Queue => {
    const queue = contract.open({ ...FAST, ...options })
    t.after(() => queue.close())
    return queue
  }

  describe(`queue: ${name}`, { timeout: 60_000 }, () => {
    it('delivers each message with its id, name and body', async (t) => {
      const queue = open(t)
      const seen = recorder<Job>()
      queue.consume(async (job) => seen.add(job), { concurrency: 2 })
      const sent = [message(1), message(2), message(3)]
      await queue.publish(sent)
      await seen.reached(3)
      const byId = new Map(seen.all.map((job) => [job.id, job]))
      for (const { id, name, body } of sent) {
        assert.deepEqual({ name: byId.get(id)?.name, body: byId.get(id)?.body }, { name, body })
      }
      assert.ok(seen.all.every(({ attempt }) => attempt === 1))
    })

    it('keeps what was published before anybody consumes', async (t) => {
      const queue = open(t)
      await queue.publish([message()])
      assert.equal((await queue.counts()).waiting, 1)
      const seen = recorder<Job>()
      queue.consume(async (job) => seen.add(job), { concurrency: 1 })
      await seen.reached(1)
    })

    it('takes an id once, while it waits and after it is done', async (t) => {
      const queue = open(t)
      const twice = message()
      await queue.publish([twice, twice])
      await queue.publish([twice])
      assert.equal((await queue.counts()).waiting, 1)
      const seen = recorder<Job>()
      queue.consume(async (job) => seen.add(job), { concurrency: 1 })
      await seen.reached(1)
      await eventually('the job is done', async () => (await queue.counts()).active === 0)
      const other = message()
      await queue.publish([twice, other])
      await seen.reached(2)
      assert.deepEqual(
        seen.all.map(({ id }) => id),
        [twice.id, other.id],
      )
    })

    it('tries again with a growing delay', async (t) => {
      const queue = open(t, { attempts: 5, backoffMs: 100, maxBackoffMs: 10_000 })
      const at = recorder<{ attempt: number; ms: number }>()
      queue.consume(
        async ({ attempt }) => {
          at.add({ attempt, ms: performance.now() })
          if (attempt < 4) throw new Error('not yet')
        },
        { concurrency: 1 },
      )
      await queue.publish([message()])
      await at.reached(4)
      assert.deepEqual(
        at.all.map(({ attempt }) => attempt),
        [1, 2, 3, 4],
      )
      const gaps = at.all.slice(1).map(({ ms }, i) => ms - (at.all[i]?.ms ?? 0))
      for (const [i, least] of [90, 190, 390].entries())
        assert.ok((gaps[i] ?? 0) >= least, `gaps ${gaps.join(', ')} ms`)
    })

    it('makes a dead letter after the attempts, and revives it', async (t) => {
      const queue = open(t)
      const seen = recorder<Job>()
      let broken = true
      queue.consume(
        async (job) => {
          seen.add(job)
          if (broken) throw new Error('this file has no bytes')
        },
        { concurrency: 1 },
      )
      const sent = message(7)
      await queue.publish([sent])
      await eventually('a dead letter', async () => (await queue.counts()).dead === 1)
      assert.equal(seen.all.length, 3)
      assert.deepEqual(await queue.deadLetters(10), [{ ...sent, reason: 'this file has no bytes', attempts: 3 }])
      await queue.publish([sent])
      assert.equal((await queue.counts()).waiting, 0, 'publishing again does not wake a dead letter')

      broken = false
      assert.equal(await queue.revive(randomUUID()), false)
      assert.equal(await queue.revive(sent.id), true)
      await seen.reached(4)
      assert.equal(seen.all[3]?.attempt, 1)
      await eventually('nothing is dead', async () => (await queue.counts()).dead === 0)
    })

    it('RetryLater comes again and uses up no attempt', async (t) => {
      const queue = open(t, { attempts: 2 })
      const seen = recorder<number>()
      queue.consume(
        async ({ attempt }) => {
          seen.add(attempt)
          if (seen.all.length < 5) throw new RetryLater('the store is away')
        },
        { concurrency: 1 },
      )
      await queue.publish([message()])
      await seen.reached(5)
      assert.deepEqual(seen.all, [1, 1, 1, 1, 1])
      await eventually('the job is done', async () => (await queue.counts()).active === 0)
      assert.equal((await queue.counts()).dead, 0)
    })

    it('remembers checkpoints from try to try', async (t) => {
      const queue = open(t)
      const seen = recorder<string[]>()
      queue.consume(
        async (job) => {
          seen.add([...job.passed])
          await job.checkpoint(`part ${job.attempt}`)
          if (job.attempt < 3) throw new Error('again')
        },
        { concurrency: 1 },
      )
      await queue.publish([message()])
      await seen.reached(3)
      assert.deepEqual(seen.all, [[], ['part 1'], ['part 1', 'part 2']])
    })

    it('handles as many at once as was said, not more', async (t) => {
      const queue = open(t)
      const started = recorder<string>()
      const gate = Promise.withResolvers<void>()
      let running = 0
      let most = 0
      const handler: Handler = async ({ id }) => {
        running += 1
        most = Math.max(most, running)
        started.add(id)
        await gate.promise
        running -= 1
      }
      queue.consume(handler, { concurrency: 2 })
      await queue.publish([message(), message(), message(), message()])
      await started.reached(2)
      assert.equal((await queue.counts()).active, 2)
      gate.resolve()
      await started.reached(4)
      assert.equal(most, 2)
    })

    it('closing waits for the running job and takes no other', async (t) => {
      const queue = open(t)
      const started = recorder<string>()
      const gate = Promise.withResolvers<void>()
      let ended = 0
      const consumer = queue.consume(
        async ({ id }) => {
          started.add(id)
          await gate.promise
          ended += 1
        },
        { concurrency: 1 },
      )
      await queue.publish([message(), message()])
      await started.reached(1)
      const closing = consumer.close()
      setTimeout(() => gate.resolve(), 50)
      await closing
      assert.equal(ended, 1)
      assert.equal(started.all.length, 1)
      assert.equal((await queue.counts()).waiting, 1)
    })

    it('closing aborts a job that takes too long; another consumer gets it, at no cost of an attempt', async (t) => {
      const queue = open(t, { closeMs: 50, attempts: 1 })
      const started = recorder<Job>()
      const consumer = queue.consume(
        async (job) => {
          started.add(job)
          await new Promise((_, reject) => {
            job.signal.addEventListener('abort', () => reject(job.signal.reason))
          })
        },
        { concurrency: 1 },
      )
      await queue.publish([message()])
      await started.reached(1)
      await consumer.close()
      const again = recorder<Job>()
      queue.consume(async (job) => again.add(job), { concurrency: 1 })
      await again.reached(1)
      assert.equal(again.all[0]?.id, started.all[0]?.id)
      assert.equal(again.all[0]?.attempt, 1)
    })

    it('answers a ping until it is closed, and takes nothing after', async (t) => {
      const queue = open(t)
      await queue.ping()
      await queue.close()
      await assert.rejects(queue.ping(), /closed/)
      await assert.rejects(queue.publish([message()]), /closed/)
    })
  })
}
