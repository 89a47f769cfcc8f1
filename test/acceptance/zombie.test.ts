/**
 * A holder that is stopped (SIGSTOP) in the middle of a storage call while it holds other bytes than its successor
 * sends, and goes on before or after the successor has finished: the object is the successor's, always.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type S3Proxy, startS3Proxy } from '../support/s3-proxy.ts'
import { freshWorld, type RunningService, startService, type World } from '../support/service.ts'
import { testServices } from '../support/services.ts'
import { idOf, sampleBytes, sha256, Tus } from './support/tus.ts'

const MIB = 1024 * 1024
const LENGTH = 17 * MIB + 5
const OLD = sampleBytes(LENGTH, 'zombie')
const NEW = sampleBytes(LENGTH, 'successor')

/** TEST_LONG=1: both stores, and the stopped one goes on before its successor has finished, too. */
const LONG = process.env.TEST_LONG === '1'
const STORES = LONG ? testServices().s3 : testServices().s3.slice(0, 1)
const RESUMES = LONG ? (['before', 'after'] as const) : (['after'] as const)

for (const store of STORES) {
  describe(`a stopped holder: ${store.name}`, () => {
    let world: World
    let proxy: S3Proxy
    let stopped: RunningService
    let successor: RunningService

    before(async () => {
      world = await freshWorld(store)
      proxy = await startS3Proxy(store.endpoint)
      const env = { ...world.env, S3_ENDPOINT: proxy.url, HOLD_LEASE: '1s', MAX_FILE_SIZE: String(64 * MIB) }
      stopped = await startService({ mode: 'production', env })
      successor = await startService({ mode: 'production', env })
    })
    after(async () => {
      process.kill(stopped.pid, 'SIGCONT')
      await Promise.all([stopped.kill(), successor.kill()])
      await proxy.close()
      await world.remove()
    })

    for (const [operation, number, sent] of [
      ['UploadPart', 2, LENGTH],
      ['PutObject', undefined, 12 * MIB],
      ['CompleteMultipartUpload', undefined, LENGTH],
    ] as const) {
      for (const resume of RESUMES) {
        test(`stopped in ${operation}, continued ${resume} its successor has finished`, {
          timeout: 60_000,
        }, async () => {
          const path = await new Tus(stopped.url).create({ length: LENGTH })
          let release: () => void = () => {}
          const held = new Promise<void>((resolve) => {
            release = resolve
          })
          const reached = new Promise<void>((resolve) => {
            proxy.before = async (call) => {
              const here = call.operation === operation && call.key.includes(idOf(path)) && call.partNumber === number
              if (!here) return undefined
              proxy.before = undefined
              process.kill(stopped.pid, 'SIGSTOP')
              resolve()
              await held
              return undefined
            }
          })
          const zombie = new Tus(stopped.url).patch(path, 0, OLD.subarray(0, sent)).catch(() => null)
          await reached

          const tus = new Tus(successor.url)
          const offset = await offsetOf(tus, path)
          const goOn = () => {
            release()
            process.kill(stopped.pid, 'SIGCONT')
          }
          if (resume === 'before') goOn()
          await finish(tus, path, offset)
          if (resume === 'after') goOn()
          await zombie

          const expected = Buffer.concat([OLD.subarray(0, offset), NEW.subarray(offset)])
          assert.equal(await contentOf(tus, path), sha256(expected))
          // Whatever the stopped one still had under way has ended by now or ends within a retry or two.
          await sleep(1500)
          assert.equal(await contentOf(tus, path), sha256(expected))
          assert.equal(await contentOf(new Tus(stopped.url), path), sha256(expected))
        })
      }
    }

    async function offsetOf(tus: Tus, path: string): Promise<number> {
      for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(200)) {
        const head = await tus.head(path)
        if (head.status === 200) return Number(head.headers['upload-offset'])
        assert.equal(head.status, 423)
      }
      throw new Error('no offset within 30 s')
    }

    /** Sends the successor's bytes from `offset` on; what the stopped one does meanwhile may cost a retry. */
    async function finish(tus: Tus, path: string, from: number): Promise<void> {
      let offset = from
      for (const deadline = Date.now() + 30_000; offset < LENGTH && Date.now() < deadline; ) {
        const answer = await tus.patch(path, offset, NEW.subarray(offset))
        if (answer.status === 204) return
        assert.ok([423, 503].includes(answer.status), `PATCH answered ${answer.status}: ${answer.body}`)
        await sleep(200)
        const now = await offsetOf(tus, path)
        assert.ok(now >= offset, `the offset went from ${offset} to ${now}`)
        offset = now
      }
      assert.equal(offset, LENGTH)
    }

    async function contentOf(tus: Tus, path: string): Promise<string> {
      const answer = await fetch(`${tus.origin}${path}`)
      assert.equal(answer.status, 200)
      return sha256(Buffer.from(await answer.arrayBuffer()))
    }
  })
}
