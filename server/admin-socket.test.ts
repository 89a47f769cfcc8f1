import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { adminSocketPath, listenOnSocket, ofWorker } from './admin-socket.ts'

async function place(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'adm-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

function server(t: TestContext): Server {
  const one = createServer()
  t.after(() => void (one.listening && one.close()))
  return one
}

test('where the socket is follows from the port, or is said', () => {
  assert.equal(adminSocketPath(null, 3005), join(tmpdir(), 'upload-service-3005', 'admin.sock'))
  assert.equal(adminSocketPath('/run/x/a.sock', 3005), '/run/x/a.sock')
  assert.equal(ofWorker('/run/x/a.sock', undefined), '/run/x/a.sock')
  assert.equal(ofWorker('/run/x/a.sock', 3), '/run/x/a-3.sock')
})

test('directory and socket are for their user alone, and the socket goes with its server', async (t) => {
  const path = join(await place(t), 'made', 'admin.sock')
  const one = server(t)
  await listenOnSocket(one, path)
  assert.equal((await stat(join(path, '..'))).mode & 0o777, 0o700)
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  await new Promise((resolve) => one.close(resolve))
  await assert.rejects(stat(path), { code: 'ENOENT' })
})

test('a socket in use is left alone; one that a dead process left is replaced', async (t) => {
  const path = join(await place(t), 'admin.sock')
  const one = server(t)
  await listenOnSocket(one, path)
  await assert.rejects(listenOnSocket(server(t), path), /another process listens/)
  assert.ok(one.listening && (await stat(path)).isSocket())
  const left = join(await place(t), 'admin.sock')
  spawnSync(process.execPath, [
    '--input-type=module',
    '-e',
    `import { createServer } from 'node:net'
    createServer().listen(${JSON.stringify(left)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ])
  assert.ok((await stat(left)).isSocket())
  const two = server(t)
  await listenOnSocket(two, left)
  assert.ok(two.listening)
})

test('a directory that others can write to is refused, and so is a path that no socket can have', async (t) => {
  const dir = join(await place(t), 'shared')
  await mkdir(dir)
  await chmod(dir, 0o777)
  await assert.rejects(listenOnSocket(server(t), join(dir, 'admin.sock')), /can be written by somebody else/)
  await assert.rejects(listenOnSocket(server(t), join(dir, `${'x'.repeat(100)}.sock`)), /is longer than/)
})
