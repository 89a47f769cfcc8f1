import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { mock, type TestContext, test } from 'node:test'
import { parseUploadId } from '../server/uploads/id.ts'
import { openDatabase } from './database.ts'
import { newUpload } from './fixtures.ts'

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'pglite-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

/** Writes without end and says each id when its insert has returned. */
const WRITER = `
  const { openDatabase } = await import(${JSON.stringify(new URL('./database.ts', import.meta.url).href)})
  const { newUpload } = await import(${JSON.stringify(new URL('./fixtures.ts', import.meta.url).href)})
  const database = await openDatabase({ driver: 'pglite', dir: process.argv[1] })
  await database.migrate('auto')
  for (;;) console.log((await database.records.insert(newUpload(), ['created', 'uploaded'])).id)
`

test('nothing that was committed is lost by kill -9', async (t) => {
  const dir = await directory(t)
  const acknowledged: string[] = []
  const writer = spawn(process.execPath, ['--input-type=module', '-e', WRITER, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(writer, 'exit')
  for await (const line of createInterface({ input: writer.stdout })) {
    acknowledged.push(line)
    if (acknowledged.length >= 40) writer.kill('SIGKILL')
  }
  await exited
  const database = await openDatabase({ driver: 'pglite', dir })
  t.after(() => database.close())
  assert.deepEqual(await database.migrate('auto'), [])
  for (const line of acknowledged) {
    const id = parseUploadId(line)
    assert.ok(id, line)
    assert.equal((await database.records.find(id))?.state, 'uploaded')
  }
  assert.ok((await database.outbox.pending()).count >= acknowledged.length * 2)
})

test('a commit in a directory is synced to the disk before its statement returns', async (t) => {
  const database = await openDatabase({ driver: 'pglite', dir: await directory(t) })
  t.after(() => database.close())
  await database.migrate('auto')
  const fsync = mock.method(fs, 'fsyncSync')
  syncBuiltinESMExports()
  t.after(() => {
    fsync.mock.restore()
    syncBuiltinESMExports()
  })
  for (let n = 1; n <= 3; n += 1) {
    const before = fsync.mock.callCount()
    await database.records.insert(newUpload(), ['created'])
    assert.ok(fsync.mock.callCount() > before)
  }
})

test('a directory whose making was interrupted is made anew; nothing was ever in it', async (t) => {
  const dir = join(await directory(t), 'db')
  await mkdir(dir)
  await writeFile(join(dir, 'PG_VERSION'), '18')
  await writeFile(`${dir}.unfinished`, '')
  const database = await openDatabase({ driver: 'pglite', dir })
  await database.migrate('auto')
  await database.close()
  assert.deepEqual(await readdir(join(dir, '..')), ['db'])
})

test('close is clean, may be called twice, and what follows is unavailable', async (t) => {
  const dir = await directory(t)
  const database = await openDatabase({ driver: 'pglite', dir })
  await database.migrate('auto')
  const upload = await database.records.insert(newUpload(), ['created'])
  await Promise.all([database.close(), database.close()])
  await assert.rejects(database.records.find(upload.id), { code: 'records_unavailable' })

  const again = await openDatabase({ driver: 'pglite', dir })
  assert.deepEqual(await again.records.find(upload.id), upload)
  await again.close()
})
