import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { DataLocked, lockData } from './data-lock.ts'

let base = ''
before(async () => {
  base = await mkdtemp(join(tmpdir(), 'data-lock-'))
})
after(() => rm(base, { recursive: true, force: true }))

function owner(pid: number, startedAt: string | null): string {
  return JSON.stringify({ pid, startedAt, nonce: 'another' })
}

async function locked(name: string, by: string): Promise<string> {
  const dir = join(base, name)
  await (await lockData(dir)).release()
  await writeFile(join(dir, 'lock'), by)
  return dir
}

test('a folder is one process at a time, and free again after the release', async () => {
  const dir = join(base, 'one')
  const lock = await lockData(dir)
  await assert.rejects(lockData(dir), (error) => {
    assert.ok(error instanceof DataLocked)
    assert.match(error.message, new RegExp(`process ${process.pid}\\)\\. Stop that one, or .* DATA_DIR=`))
    return true
  })
  await lock.release()
  assert.deepEqual(await readdir(dir), [], 'nothing is left')
  await (await lockData(dir)).release()
})

test('a dead owner, one whose pid is another process now, and half a file do not keep the folder', async () => {
  const gone = spawn(process.execPath, ['-e', ''])
  await once(gone, 'exit')
  for (const [name, by] of [
    ['dead', owner(gone.pid ?? 0, null)],
    ['reused', owner(process.pid, '1')],
    ['half', '{"pid":1'],
  ] as const) {
    await (await lockData(await locked(name, by))).release()
  }
})

test('a killed owner that nobody has reaped yet is dead', {
  skip: process.platform !== 'linux' && 'needs /proc',
}, async () => {
  // The shell starts a child, becomes sleep and so never asks how the child ended.
  const parent = spawn('sh', ['-c', 'sleep 600 & echo $!; exec sleep 600'], { stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    const [line] = await once(parent.stdout.setEncoding('utf8'), 'data')
    const pid = Number(line)
    const stat = async () => {
      const text = await readFile(`/proc/${pid}/stat`, 'utf8')
      return text.slice(text.lastIndexOf(')') + 2).split(' ')
    }
    const startedAt = (await stat())[19] ?? null
    const dir = await locked('zombie', owner(pid, startedAt))
    await assert.rejects(lockData(dir), DataLocked)
    process.kill(pid, 'SIGKILL')
    while ((await stat())[0] !== 'Z') await sleep(5)
    await (await lockData(dir)).release()
  } finally {
    parent.kill('SIGKILL')
  }
})
