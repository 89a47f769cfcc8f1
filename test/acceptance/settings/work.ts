/** Who does the jobs, and the hooks of a module of one's own. */
import assert from 'node:assert/strict'
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { eventually, Tus } from '../support/tus.ts'
import { type Stage, shows } from './stage.ts'

const LIFECYCLE = pathToFileURL(join(import.meta.dirname, '..', '..', '..', 'hooks', 'lifecycle.ts')).href

export function workSettings(): void {
  shows('WORKER_IN_SERVER WORKER_CONCURRENCY', 'who does jobs, and how many at once', async (stage) => {
    const { started, release, module } = await waitingJobs(stage)
    const idle = new Tus((await stage.start({ WORKER_IN_SERVER: 'false', HOOKS_MODULE: module })).url)
    for (let n = 0; n < 5; n++) assert.equal((await idle.post({ length: 1, body: 'x' })).status, 201)
    assert.equal(await started(), 0, 'nobody works')
    await stage.start({ WORKER_IN_SERVER: 'true', WORKER_CONCURRENCY: '2', HOOKS_MODULE: module })
    await eventually(async () => (await started()) === 2, 'two jobs have begun', 30_000)
    await sleep(500) // a third would begin at once
    assert.equal(await started(), 2, 'no third job while two run')
    await release()
    await eventually(async () => (await started()) === 5, 'all jobs were done', 30_000)
  })

  shows('HOOKS_MODULE HOOK_TIMEOUT', 'a module that refuses, and one that takes too long', async (stage) => {
    const module = await moduleOf(
      stage,
      `'pre-create': async ({ upload, signal }) => {
        if (upload.filename === 'bad.exe') refuse(422, 'no programs')
        if (upload.filename === 'slow') await new Promise((resolve) => { setTimeout(resolve, 60000).unref() })
      }`,
    )
    const named = (name: string) => ({ length: 1, metadata: `filename ${Buffer.from(name).toString('base64')}` })
    const without = new Tus((await stage.start({})).url)
    const service = new Tus((await stage.start({ HOOKS_MODULE: module, HOOK_TIMEOUT: '300ms' })).url)
    assert.equal((await without.post(named('bad.exe'))).status, 201)
    const refused = await service.post(named('bad.exe'))
    assert.equal(refused.status, 422)
    assert.match(refused.body.toString(), /no programs/)
    assert.equal((await service.post(named('good'))).status, 201)
    const late = await service.post(named('slow'))
    assert.ok(late.status >= 500, `a hook that hangs was answered ${late.status}`)
    assert.ok(late.tookMs > 250 && late.tookMs < 4_000, `after ${late.tookMs} ms`)
  })
}

async function moduleOf(stage: Stage, hooks: string): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'upload-hooks-'))
  stage.later(() => rm(dir, { recursive: true, force: true }))
  const file = join(dir, 'hooks.mjs')
  await writeFile(
    file,
    `import { appendFile, stat } from 'node:fs/promises'\n` +
      `import { defineHooks, refuse } from ${JSON.stringify(LIFECYCLE)}\nexport default defineHooks({ ${hooks} })\n`,
  )
  return file
}

/** Jobs that note their beginning and then wait until they are released. */
async function waitingJobs(stage: Stage) {
  const dir = await mkdtemp(join(tmpdir(), 'upload-jobs-'))
  stage.later(() => rm(dir, { recursive: true, force: true }))
  const [notes, door] = [join(dir, 'notes'), join(dir, 'door')]
  await appendFile(notes, '')
  const module = await moduleOf(
    stage,
    `'post-finish': async ({ event }) => {
      await appendFile(${JSON.stringify(notes)}, event.id + '\\n')
      const closed = () => stat(${JSON.stringify(door)}).then(() => false, () => true)
      while (await closed()) await new Promise((resolve) => { setTimeout(resolve, 20) })
    }`,
  )
  return {
    module,
    started: async () => new Set((await readFile(notes, 'utf8')).split('\n').filter(Boolean)).size,
    release: () => writeFile(door, ''),
  }
}
