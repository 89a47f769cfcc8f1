/** The file store: what is acknowledged is on the disk, and what is finished stays. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { eventually, idOf, pathOf, sampleBytes } from '../support/tus.ts'
import { filesView } from '../support/views.ts'
import { extensionsWork } from './extensions.ts'
import { type FileTarget, fileTarget, type Instance } from './target.ts'

const BYTES = sampleBytes(300_000, 'peers-files')
const THIRD = 100_000

describe('files', () => {
  let target: FileTarget
  let service: Instance
  let scratch: string
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'peers-files-'))
    target = await fileTarget()
    service = await target.start({
      NODE_OPTIONS: `--import=${join(import.meta.dirname, 'record-syncs.ts')}`,
      SYNCS_FILE: join(scratch, 'syncs'),
    })
  })
  after(async () => {
    await target?.remove()
    if (scratch) await rm(scratch, { recursive: true, force: true })
  })

  /** Inode to the size that it had when it was last synced. */
  const syncs = async (): Promise<Map<number, number>> => {
    const lines = (await readFile(join(scratch, 'syncs'), 'utf8').catch(() => '')).split('\n').filter(Boolean)
    return new Map(
      lines.map((line) => {
        const { ino, size }: { ino: number; size: number } = JSON.parse(line)
        return [ino, size]
      }),
    )
  }

  /** Bytes of the upload's files that a power cut would leave. */
  const synced = async (path: string): Promise<number> => {
    const known = await syncs()
    const files = await filesView(target.dir, idOf(path))
    // What a finish removes meanwhile (tails) counts nothing.
    const found = await Promise.all(files.map(({ name }) => stat(join(target.dir, name)).catch(() => null)))
    return found.reduce((sum, file) => sum + (file ? (known.get(file.ino) ?? 0) : 0), 0)
  }

  // plain @tus/server 2.4.5 + file-store 2.1.1: 100000 bytes acknowledged, 0 synced.
  test('R9 bytes are synced to the disk before they are acknowledged', async () => {
    const { tus } = service
    const path = await tus.create({ length: BYTES.length })
    for (let from = 0; from < BYTES.length; from += THIRD) {
      assert.equal((await tus.patch(path, from, BYTES.subarray(from, from + THIRD))).status, 204)
      const bytes = await synced(path)
      assert.ok(bytes >= from + THIRD, `${from + THIRD} bytes acknowledged, ${bytes} synced`)
    }
    const whole = await tus.post({ length: BYTES.length, body: BYTES })
    assert.equal(whole.status, 201)
    assert.ok((await synced(pathOf(whole, tus.origin))) >= BYTES.length, 'a whole file in one request')
  })

  // plain @tus/server 2.4.5 + file-store 2.1.1: neither is announced, Upload-Concat is a 501.
  test('R11 checksum and concatenation are announced and work: files', () => extensionsWork(service.tus))

  // plain @tus/server 2.4.5 + file-store 2.1.1: the finished file is gone with the expired one.
  test('R1 what is finished is not removed with what has expired', async () => {
    await service.service.stop()
    const { tus } = await target.start({ UPLOAD_EXPIRES_AFTER: '2s', SWEEP_EVERY: '500ms' })
    const finished = await tus.createWith(BYTES.length, BYTES)
    await tus.contentIs(finished, BYTES)
    const unfinished = await tus.createWith(BYTES.length, BYTES.subarray(0, THIRD))
    const stored = async (path: string): Promise<number> =>
      (await filesView(target.dir, idOf(path))).reduce((sum, { bytes }) => sum + bytes, 0)
    assert.ok((await stored(unfinished)) >= THIRD, 'there is something to remove')
    // What happened to an upload may be kept, its bytes are not.
    await eventually(async () => (await stored(unfinished)) < THIRD, 'what expired is gone', 20_000)
    assert.ok((await stored(finished)) >= BYTES.length, 'what was finished is gone')
    await tus.contentIs(finished, BYTES)
  })
})
