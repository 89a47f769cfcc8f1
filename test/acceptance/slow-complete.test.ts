/** A CompleteMultipartUpload that takes a minute, and tus-js-client as it comes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { onStage } from './settings/stage.ts'
import { uploaded } from './support/client.ts'
import { sampleBytes, Tus } from './support/tus.ts'

const LONG = process.env.TEST_LONG === '1'
const P = 5 * 1024 * 1024
/** A request waits 15 s for a finish; in the shorter walk a second, and the store takes five times as long. */
const { delayMs, wait } = LONG ? { delayMs: 60_000, wait: {} } : { delayMs: 5_000, wait: { FINISH_WAIT: '1s' } }
const shorter = LONG ? '' : ' (FINISH_WAIT=1s; TEST_LONG=1: 60 s)'

test(`a Complete of ${delayMs / 1000} s ends as success for the client with its default retries${shorter}`, async (t) => {
  await onStage(async (stage) => {
    const proxy = await stage.s3()
    const service = await stage.start({
      S3_ENDPOINT: proxy.url,
      CHUNK_SIZE: '655360',
      // The store is silent for so long, and is not to be asked a second time meanwhile.
      S3_REQUEST_TIMEOUT: '90s',
      ...wait,
    })
    proxy.before = async ({ operation }) => {
      if (operation === 'CompleteMultipartUpload') await sleep(delayMs)
      return undefined
    }
    const bytes = sampleBytes(2 * P + 1000, 'slow complete')
    const statuses: number[] = []
    const startedAt = Date.now()
    const path = await uploaded(service.url, bytes, {
      onAfterResponse: (_, answer) => void statuses.push(answer.getStatus()),
    })
    t.diagnostic(`${statuses.join(' ')} in ${Date.now() - startedAt} ms`)
    assert.ok(Date.now() - startedAt >= delayMs, 'the store was slow')
    assert.ok(statuses.includes(423), `the PATCH was answered before the store did: ${statuses}`)
    assert.deepEqual(
      statuses.filter((status) => status >= 500),
      [],
    )
    await new Tus(service.url).contentIs(path, bytes)
    assert.equal(proxy.of('CompleteMultipartUpload').length, 1)
    assert.ok(proxy.of('UploadPart').every(({ bytes: sent }) => sent <= P))
    assert.equal(proxy.of('UploadPart').length, 3, 'nothing was sent twice')
  })
})
