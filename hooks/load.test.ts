import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { newUploadId } from '../server/uploads/id.ts'
import type { Principal } from '../server/uploads/words.ts'
import { parseEvent, toMessage } from './events.ts'
import { loadHooks, noHooks } from './load.ts'
import { anEvent, anUpload, keptLog, silent } from './testing.ts'

const alice: Principal = { subject: 'alice', tenant: 'default', roles: ['uploader'] }
const draft = (filename: string | null) => ({ id: newUploadId(), length: 5, metadata: {}, contentType: null, filename })
const options = { log: silent, find: async () => null }

const LIFECYCLE = pathToFileURL(join(import.meta.dirname, 'lifecycle.ts')).href

describe('hook modules', { timeout: 30_000 }, () => {
  let directory = ''
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hooks-'))
  })
  after(() => rm(directory, { recursive: true }))

  async function module(name: string, code: string): Promise<string> {
    const path = join(directory, name)
    await writeFile(path, `import { defineHooks, refuse } from ${JSON.stringify(LIFECYCLE)}\n${code}\n`)
    return path
  }

  it('the example refuses by name, with status and message, and lets the rest pass', async () => {
    const { gatekeeper, names, listeners } = await loadHooks('hooks/example.ts', {
      ...options,
      directory: join(import.meta.dirname, '..'),
    })
    assert.deepEqual(names, ['pre-create', 'post-finish', 'pre-terminate'])
    assert.deepEqual(
      listeners.map(({ name, type }) => [name, type]),
      [['hook:post-finish', 'upload.uploaded']],
    )
    await gatekeeper.preCreate(alice, draft('holiday.jpg'))
    await gatekeeper.preFinish(anUpload())
    await assert.rejects(gatekeeper.preCreate(alice, draft('Virus.EXE')), {
      code: 'refused_by_hook',
      message: 'files that end in .exe are not taken',
      facts: { status: 422 },
    })
    const held = anUpload({ legalHold: true })
    await assert.rejects(gatekeeper.preTerminate(alice, held), { code: 'refused_by_hook', facts: { status: 403 } })
    await gatekeeper.preTerminate({ ...alice, roles: ['operator'] }, held)
  })

  it('without a module everything passes', async () => {
    await noHooks.gatekeeper.preCreate(alice, draft('virus.exe'))
    await noHooks.gatekeeper.preFinish(anUpload())
    await noHooks.gatekeeper.preTerminate(alice, anUpload())
    assert.deepEqual(noHooks.listeners, [])
  })

  it('a blocking hook that throws keeps the gate shut: internal, logged, and the next call is heard', async () => {
    const log = keptLog()
    const path = await module(
      'throws.ts',
      `let calls = 0
      export default defineHooks({
        'pre-create': () => { calls += 1; if (calls < 3) throw new Error('secret detail ' + calls) },
        'pre-finish': () => refuse(500, 'not a refusal'),
      })`,
    )
    const { gatekeeper } = await loadHooks(path, { ...options, log })
    for (let i = 0; i < 2; i += 1) {
      await assert.rejects(gatekeeper.preCreate(alice, draft(null)), {
        code: 'internal',
        message: 'the pre-create hook failed',
      })
    }
    await gatekeeper.preCreate(alice, draft(null))
    await assert.rejects(gatekeeper.preFinish(anUpload()), { code: 'internal' })
    assert.equal(log.lines.length, 3)
  })

  it('a blocking hook that takes too long is given up and told so by its signal', async () => {
    const path = await module(
      'slow.ts',
      `export const aborted: unknown[] = []
      export default defineHooks({
        'pre-terminate': ({ signal }) => new Promise(() => signal.addEventListener('abort', () => aborted.push(1))),
      })`,
    )
    const { gatekeeper } = await loadHooks(path, { ...options, timeoutMs: 30 })
    const began = performance.now()
    await assert.rejects(gatekeeper.preTerminate(alice, anUpload()), { code: 'internal' })
    assert.ok(performance.now() - began < 5_000)
    const { aborted } = await import(path)
    assert.equal(aborted.length, 1)
  })

  it('post hooks get the event, the try and the row; what they throw is passed on', async () => {
    const path = await module(
      'post.ts',
      `export const seen: unknown[] = []
      export default defineHooks({
        'post-create': async ({ event, attempt, readUpload }) => {
          seen.push([event.id, event.type, attempt, (await readUpload())?.state])
        },
        'post-terminate': () => { throw new Error('receiver is down') },
        'post-receive': () => new Promise(() => {}),
      })`,
    )
    const upload = anUpload({ state: 'available' })
    const { listeners } = await loadHooks(path, { ...options, find: async () => upload, postTimeoutMs: 30 })
    const [create, receive, terminate] = listeners
    assert.ok(create && receive && terminate)
    const delivery = { attempt: 2, signal: new AbortController().signal }
    const created = anEvent('upload.created', upload)
    await create.handle(parseEvent(toMessage(created).body), delivery)
    const { seen } = await import(path)
    assert.deepEqual(seen, [[created.eventId, 'upload.created', 2, 'available']])
    const terminated = parseEvent(toMessage(anEvent('upload.terminated', upload)).body)
    await assert.rejects(terminate.handle(terminated, delivery), /receiver is down/)
    const receiving = parseEvent(toMessage(anEvent('upload.receiving', upload)).body)
    await assert.rejects(receive.handle(receiving, delivery), /longer than 30 ms/)
  })

  it('says what is wrong with a module', async () => {
    const at = (path: string) => loadHooks(path, options)
    await assert.rejects(at('./nowhere.ts'), /there is no file .*nowhere\.ts/)
    await assert.rejects(at('no-such-package-of-hooks'), /cannot be loaded/)
    await assert.rejects(at(await module('broken.ts', 'throw new Error("boom")')), /broken\.ts cannot be loaded: boom/)
    await assert.rejects(
      at(await module('plain.ts', "export default { 'pre-create': () => refuse(400, '') }")),
      /defineHooks/,
    )
    await assert.rejects(at(await module('none.ts', 'export const hooks = defineHooks({})')), /default export/)
    const unknown = await module('unknown.ts', "export default defineHooks({ 'pre-eat': () => {} } as object)")
    await assert.rejects(at(unknown), /unknown hook "pre-eat"; known are pre-create, .*post-terminate/)
    const wrong = await module('wrong.ts', "export default defineHooks({ 'pre-create': 7 } as object)")
    await assert.rejects(at(wrong), /"pre-create" .* must be a function, not number/)
  })
})
