/** tus-js-client against the service, through a proxy that writes down every request. */
import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { after, before, beforeEach, describe, test } from 'node:test'
import { BACKENDS, type Backend, type Service } from './support/backend.ts'
import { clientOf, rememberedUrls, streamSource, uploaded } from './support/client.ts'
import { ofMethod, type Recorded, type Recorder, recorderTo } from './support/recorder.ts'
import { eventually, sampleBytes, UPLOADS } from './support/tus.ts'

const HELLO = Buffer.from('hello world')

function said(requests: readonly Recorded[]): string[] {
  return requests.map(({ method, headers }) => {
    const offset = headers['upload-offset']
    return offset === undefined ? method : `${method} ${offset}`
  })
}

for (const { name, open } of BACKENDS) {
  describe(`tus-js-client: ${name}`, { timeout: 120_000 }, () => {
    let backend: Backend
    let service: Service
    let recorder: Recorder
    before(async () => {
      backend = await open()
      service = await backend.start()
    })
    beforeEach(async () => {
      await recorder?.close()
      recorder = await recorderTo(() => service.origin)
    })
    after(async () => {
      await recorder?.close()
      await backend?.close()
    })

    test('CLI-01 the default upload: one POST, one PATCH', async () => {
      const path = await uploaded(recorder.origin, HELLO)
      assert.deepEqual(said(recorder.requests), ['POST', 'PATCH 0'])
      await service.tus.contentIs(path, HELLO)
    })

    test('CLI-02 CLI-24 a PATCH whose connection breaks is resumed where it was', async () => {
      const bytes = sampleBytes(2_000_000, 'cli-02')
      let cuts = 0
      recorder.onRequest = ({ method }) => (method === 'PATCH' && cuts++ < 2 ? { cutAfter: 500_000 } : null)
      const run = clientOf(recorder.origin, bytes, { retryDelays: [0, 100, 500] })
      run.upload.start()
      const path = await run.done
      const [head] = ofMethod(recorder, 'HEAD')
      const patches = ofMethod(recorder, 'PATCH')
      // One more where the first HEAD came before all that the broken PATCH had sent.
      assert.ok(patches.length === 3 || patches.length === 4, `${patches.length} PATCHes`)
      assert.ok(Number(head?.answer['upload-offset']) > 0, 'nothing of the broken PATCH was kept')
      assert.equal(patches[1]?.headers['upload-offset'], head?.answer['upload-offset'])
      const sent = patches.map(({ headers }) => Number(headers['upload-offset']))
      assert.ok(
        sent.slice(1).every((offset) => offset > 0),
        `started again from 0: ${sent}`,
      )
      assert.deepEqual(
        run.accepted,
        [...run.accepted].sort((a, b) => a - b),
      )
      await service.tus.contentIs(path, bytes)
    })

    test('CLI-03 CLI-04 a stalled rival does not make the client start anew', async () => {
      const bytes = sampleBytes(300_000, 'cli-03')
      const path = await service.tus.create({ length: bytes.length })
      const rival = await service.tus.stalled(path, 0, bytes.length, bytes.subarray(0, 100_000))
      const done = await uploaded(recorder.origin, bytes, { uploadUrl: `${recorder.origin}${path}` })
      assert.equal(done, path)
      assert.equal(ofMethod(recorder, 'POST').length, 0)
      for (const { status } of ofMethod(recorder, 'HEAD')) assert.ok(status === 200 || status === 423, `${status}`)
      await rival.closed
      await service.tus.contentIs(path, bytes)
    })

    test('CLI-05 a terminated upload is begun anew', async () => {
      const path = await service.tus.create({ length: HELLO.length })
      await service.tus.terminate(path)
      const done = await uploaded(recorder.origin, HELLO, { uploadUrl: `${recorder.origin}${path}` })
      assert.notEqual(done, path)
      await service.tus.contentIs(done, HELLO)
    })

    test('CLI-06 a 409 is followed by HEAD and PATCH', async () => {
      const run = clientOf(recorder.origin, HELLO, { chunkSize: 6, retryDelays: [0, 100] })
      let stolen = false
      recorder.onRequest = ({ method, path }) => {
        if (method === 'PATCH' && !stolen) {
          stolen = true
          stealing = service.tus.patch(path, 0, HELLO.subarray(0, 3))
        }
        return null
      }
      let stealing: Promise<unknown> = Promise.resolve()
      run.upload.start()
      const path = await run.done
      await stealing
      await service.tus.contentIs(path, HELLO)
    })

    test('CLI-07 what cannot be mended is told to the program at once', async () => {
      await assert.rejects(uploaded(recorder.origin, HELLO, { headers: { 'Upload-Defer-Length': '1' } }))
      assert.deepEqual(said(recorder.requests), ['POST'])
    })

    test('CLI-09 CLI-11 CLI-13 chunks, each acknowledged with its offset', async () => {
      const path = await uploaded(recorder.origin, HELLO, { chunkSize: 6 })
      assert.deepEqual(said(recorder.requests), ['POST', 'PATCH 0', 'PATCH 6'])
      assert.deepEqual(
        ofMethod(recorder, 'PATCH').map(({ status, answer }) => [status, answer['upload-offset']]),
        [
          [204, '6'],
          [204, '11'],
        ],
      )
      await service.tus.contentIs(path, HELLO)
    })

    test('CLI-12 overridePatchMethod', async () => {
      const path = await uploaded(recorder.origin, HELLO, { overridePatchMethod: true, chunkSize: 6 })
      assert.deepEqual(said(recorder.requests), ['POST', 'POST 0', 'POST 6'])
      await service.tus.contentIs(path, HELLO)
    })

    // A stream that ends at a chunk's border hangs in the client itself; what it would send is in CORE-53.
    test('CLI-17 a stream of unknown length', async () => {
      const source = new PassThrough()
      source.end(HELLO)
      const options = { uploadLengthDeferred: true, chunkSize: 6 }
      const path = await uploaded(recorder.origin, streamSource(source), options)
      const [creation, first, last] = recorder.requests
      assert.equal(creation?.headers['upload-defer-length'], '1')
      assert.equal(first?.headers['upload-length'], undefined)
      assert.equal(last?.headers['upload-length'], '11')
      await service.tus.contentIs(path, HELLO)
    })

    test('CLI-19 a deferred upload is resumed', async () => {
      const path = await service.tus.create({ defer: true })
      assert.equal((await service.tus.patch(path, 0, HELLO.subarray(0, 5))).status, 204)
      const head = await service.tus.head(path)
      assert.equal(head.headers['upload-defer-length'], '1')
      const options = { uploadUrl: `${recorder.origin}${path}`, uploadLengthDeferred: true }
      const done = await uploaded(recorder.origin, HELLO, options)
      assert.equal(done, path)
      await service.tus.contentIs(path, HELLO)
    })

    test('CLI-20 an empty file', async () => {
      const path = await uploaded(recorder.origin, Buffer.alloc(0))
      assert.deepEqual(said(recorder.requests), ['POST'])
      await service.tus.contentIs(path, '')
    })

    test('CLI-21 CLI-22 the upload is found again by a new process, also when it is finished', async () => {
      const options = {
        urlStorage: rememberedUrls(),
        fingerprint: async () => 'the same file',
        retryDelays: null,
      }
      const bytes = sampleBytes(1_000_000, 'cli-22')
      recorder.onRequest = ({ method }) => (method === 'PATCH' ? { cutAfter: 400_000 } : null)
      await assert.rejects(uploaded(recorder.origin, bytes, options))
      recorder.onRequest = () => null
      for (const finished of [false, true]) {
        const from = recorder.requests.length
        // What the cut request had sent may still be on its way when the first HEAD is answered: then the PATCH is
        // answered 409, and the client asks again.
        const again = { ...options, retryDelays: [0, 500, 1000], removeFingerprintOnSuccess: false }
        const run = clientOf(recorder.origin, bytes, again)
        const [previous] = await run.upload.findPreviousUploads()
        assert.ok(previous)
        run.upload.resumeFromPreviousUpload(previous)
        run.upload.start()
        await service.tus.contentIs(await run.done, bytes)
        const methods = recorder.requests.slice(from).map(({ method }) => method)
        assert.deepEqual(methods.slice(0, 2), finished ? ['HEAD'] : ['HEAD', 'PATCH'])
        assert.ok(!methods.includes('POST'), `a new upload: ${methods}`)
      }
    })

    test('CLI-25 abort and start again', async () => {
      const bytes = sampleBytes(3_000_000, 'cli-25')
      const run = clientOf(recorder.origin, bytes, { chunkSize: 1_000_000 })
      let paused = false
      run.upload.options.onChunkComplete = () => {
        if (paused) return
        paused = true
        void run.upload.abort().then(() => run.upload.start())
      }
      run.upload.start()
      const path = await run.done
      assert.ok(ofMethod(recorder, 'HEAD').length >= 1)
      assert.equal(ofMethod(recorder, 'POST').length, 1)
      await service.tus.contentIs(path, bytes)
    })

    test('CLI-26 abort with termination', async () => {
      const bytes = sampleBytes(2_000_000, 'cli-26')
      const run = clientOf(recorder.origin, bytes, { chunkSize: 1_000_000 })
      const aborted = new Promise<void>((resolve, reject) => {
        run.upload.options.onChunkComplete = () => void run.upload.abort(true).then(resolve, reject)
      })
      run.upload.start()
      await aborted
      const [termination] = ofMethod(recorder, 'DELETE')
      assert.equal(termination?.status, 204)
      const gone = await service.tus.head(termination?.path ?? '')
      assert.ok([404, 410].includes(gone.status))
    })

    test('CLI-27 the Location of a relative setup resolves too', async () => {
      const answer = await service.tus.post({ length: 5 })
      assert.match(answer.headers.location ?? '', new RegExp(`^(http://[^/]+)?${UPLOADS}/`))
    })

    test('CLI-28 metadata in UTF-8', async () => {
      const path = await uploaded(recorder.origin, HELLO, { metadata: { filename: 'é.txt', note: '' } })
      assert.match((await service.tus.head(path)).headers['upload-metadata'] ?? '', /^filename w6kudHh0,note ?$/)
      await service.tus.contentIs(path, HELLO)
      const { headers } = await service.tus.send('GET', path)
      assert.match(headers['content-disposition'] ?? '', /filename\*=UTF-8''%C3%A9\.txt/i)
    })

    test('CWU-12 uploadDataDuringCreation', async () => {
      const path = await uploaded(recorder.origin, HELLO, { uploadDataDuringCreation: true })
      assert.deepEqual(said(recorder.requests), ['POST'])
      await service.tus.contentIs(path, HELLO)
      const chunked = await uploaded(recorder.origin, HELLO, { uploadDataDuringCreation: true, chunkSize: 6 })
      await service.tus.contentIs(chunked, HELLO)
      await eventually(async () => (await service.tus.info(path)).state === 'available', 'post-processing')
    })
  })
}
