import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import { UploadError } from '../../server/uploads/errors.ts'
import { anUpload, silent, storeOf } from '../testing.ts'
import { sha256Step } from './sha256.ts'

const { signal } = new AbortController()
const context = (store: ReturnType<typeof storeOf>, upload = anUpload()) => ({ upload, store, signal, log: silent })

describe('the SHA-256 step', () => {
  it('is that of the bytes in the store, however they come', async () => {
    const bytes = Buffer.alloc(1_000_003, 'ab\n')
    const chunks = [bytes.subarray(0, 1), bytes.subarray(1, 700_000), bytes.subarray(700_000)]
    const upload = anUpload({ length: bytes.length, storedLength: null })
    const { sha256 } = await sha256Step.run(context(storeOf(Readable.from(chunks)), upload))
    assert.equal(sha256, createHash('sha256').update(bytes).digest('hex'))
  })

  it('reads the object that the row names', async () => {
    const asked: string[] = []
    const store = {
      async read(key: string) {
        asked.push(key)
        return Readable.from([Buffer.from('hello')])
      },
    }
    const { sha256 } = await sha256Step.run(context(store, anUpload({ objectKey: 'uploads/aa/x/2-beef' })))
    assert.deepEqual(asked, ['uploads/aa/x/2-beef'])
    assert.equal(sha256, '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824')
  })

  it('knows an empty file', async () => {
    const upload = anUpload({ length: 0, storedLength: 0 })
    const { sha256 } = await sha256Step.run(context(storeOf(Readable.from([])), upload))
    assert.equal(sha256, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  })

  it('refuses an object of another size, and none at all', async () => {
    await assert.rejects(sha256Step.run(context(storeOf('hell'))), /has 4 bytes, its row says 5/)
    await assert.rejects(sha256Step.run(context(storeOf('hello!'))), /has 6 bytes, its row says 5/)
    await assert.rejects(sha256Step.run(context(storeOf(null))), /the store has no object/)
    await assert.rejects(sha256Step.run(context(storeOf('hello'), anUpload({ objectKey: null }))), /names no object/)
  })

  it('a store that is away or breaks off in the middle is store_unavailable', async () => {
    const away = new UploadError('store_unavailable', 'no answer')
    await assert.rejects(sha256Step.run(context(storeOf(away))), { code: 'store_unavailable' })
    const broken = Readable.from(
      (async function* () {
        yield Buffer.from('he')
        throw new Error('ECONNRESET')
      })(),
    )
    await assert.rejects(sha256Step.run(context(storeOf(broken))), {
      code: 'store_unavailable',
      message: /after 2 bytes/,
    })
  })

  it('stops when the worker closes, and lets the stream go', async () => {
    const abort = new AbortController()
    const endless = new Readable({
      read() {
        setImmediate(() => this.push(Buffer.alloc(10)))
      },
    })
    const run = sha256Step.run({ ...context(storeOf(endless)), signal: abort.signal })
    setTimeout(() => abort.abort(new Error('the worker is closing')), 20)
    await assert.rejects(run, /the worker is closing/)
    assert.equal(endless.destroyed, true)
  })
})
