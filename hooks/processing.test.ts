import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UploadError } from '../server/uploads/errors.ts'
import { newUploadId } from '../server/uploads/id.ts'
import { createProcessing } from './processing.ts'
import { RetryLater } from './queue/port.ts'
import type { Step } from './steps/step.ts'
import { anUpload, silent, storeOf, TestProcessing } from './testing.ts'

const { signal } = new AbortController()
const HELLO = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'

describe('processing', () => {
  it('takes an uploaded file to available, with its SHA-256', async () => {
    const upload = anUpload()
    const records = new TestProcessing(upload)
    const steps: string[] = []
    let commits = 0
    const process = createProcessing({
      records,
      readerOf: () => storeOf('hello'),
      log: silent,
      onStep: (name) => steps.push(name),
      onCommit: () => (commits += 1),
    })
    assert.equal(await process(upload.id, signal), 'done')
    assert.deepEqual(records.entered, ['processing', 'available'])
    assert.equal(records.rows.get(upload.id)?.sha256, HELLO)
    assert.deepEqual(steps, ['sha256'])
    assert.equal(commits, 2)
  })

  it('a repeat does nothing, and so does an upload that is gone, rejected or unknown', async () => {
    for (const state of ['available', 'rejected', 'terminated', 'erased', 'receiving'] as const) {
      const upload = anUpload({ state })
      const records = new TestProcessing(upload)
      const process = createProcessing({ records, readerOf: () => storeOf(new Error('must not be read')), log: silent })
      assert.equal(await process(upload.id, signal), 'nothing')
      assert.deepEqual(records.entered, [])
    }
    const process = createProcessing({ records: new TestProcessing(), readerOf: () => storeOf(null), log: silent })
    assert.equal(await process(newUploadId(), signal), 'nothing')
  })

  it('goes on where another worker died', async () => {
    const upload = anUpload({ state: 'processing' })
    const records = new TestProcessing(upload)
    const process = createProcessing({ records, readerOf: () => storeOf('hello'), log: silent })
    assert.equal(await process(upload.id, signal), 'done')
    assert.deepEqual(records.entered, ['available'])
  })

  it('of two workers on one upload one finishes it', async () => {
    const upload = anUpload()
    const records = new TestProcessing(upload)
    const process = createProcessing({ records, readerOf: () => storeOf('hello'), log: silent })
    const results = await Promise.all([process(upload.id, signal), process(upload.id, signal)])
    assert.deepEqual(results.toSorted(), ['done', 'nothing'])
    assert.deepEqual(records.entered, ['processing', 'available'])
  })

  it('stays in processing and is retried without end while the store or the records are away', async () => {
    const upload = anUpload()
    const records = new TestProcessing(upload)
    const store = storeOf(new UploadError('store_unavailable', 'no answer'))
    await assert.rejects(
      createProcessing({ records, readerOf: () => store, log: silent })(upload.id, signal),
      RetryLater,
    )
    assert.equal(records.rows.get(upload.id)?.state, 'processing')

    const away = new TestProcessing(upload)
    away.begin = () => Promise.reject(new UploadError('records_unavailable', 'no answer'))
    await assert.rejects(
      createProcessing({ records: away, readerOf: () => store, log: silent })(upload.id, signal),
      RetryLater,
    )
  })

  it('a step that fails uses up an attempt', async () => {
    const upload = anUpload()
    const records = new TestProcessing(upload)
    await assert.rejects(
      createProcessing({ records, readerOf: () => storeOf(null), log: silent })(upload.id, signal),
      (error) => !(error instanceof RetryLater),
    )
    assert.equal(records.rows.get(upload.id)?.state, 'processing')
  })

  it('runs the steps in order and puts together what they found', async () => {
    const upload = anUpload()
    const records = new TestProcessing(upload)
    const ran: string[] = []
    const step = (name: string, findings: object): Step => ({
      name,
      run: async (context) => {
        assert.equal(context.upload.id, upload.id)
        ran.push(name)
        return findings
      },
    })
    const steps = [step('scan', {}), step('hash', { sha256: 'f'.repeat(64) }), step('thumbnail', {})]
    await createProcessing({ records, readerOf: () => storeOf(null), log: silent, steps })(upload.id, signal)
    assert.deepEqual(ran, ['scan', 'hash', 'thumbnail'])
    assert.equal(records.rows.get(upload.id)?.sha256, 'f'.repeat(64))
  })
})
