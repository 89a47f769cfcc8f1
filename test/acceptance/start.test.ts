/** `npm start` in a fresh clone, by somebody who has git, Node and npm, and nothing else. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { type Launched, launch } from '../support/launch.ts'
import { freePorts } from '../support/provision/ports.ts'
import { eventually, sampleBytes, Tus } from './support/tus.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const run = promisify(execFile)

describe('npm start in a fresh clone', () => {
  const started: Launched[] = []
  let clone = ''
  before(async () => {
    clone = join(await mkdtemp(join(tmpdir(), 'upload-clone-')), 'upload-service')
    await run('git', ['clone', '--quiet', '--no-hardlinks', ROOT, clone])
  })
  after(async () => {
    await Promise.all(started.map((npm) => npm.kill()))
    await rm(join(clone, '..'), { recursive: true, force: true, maxRetries: 5 })
  })

  async function npmStart(env: Record<string, string> = {}): Promise<{ npm: Launched; url: string }> {
    const [port = 0] = await freePorts(1)
    const npm = launch('npm', ['start'], {
      cwd: clone,
      env: { PATH: outside(), PORT: String(port), ...env },
      group: true,
      giveUpMs: 150_000,
    })
    started.push(npm)
    return { npm, url: `http://127.0.0.1:${port}` }
  }

  async function isClean(): Promise<void> {
    const { stdout } = await run('git', ['status', '--porcelain'], { cwd: clone })
    assert.equal(stdout, '', 'git status is clean')
  }

  test('it installs, serves, says where, and loses nothing acknowledged by a kill -9', {
    timeout: 180_000,
  }, async () => {
    await assert.rejects(access(join(clone, 'node_modules')), 'nothing is installed')
    const first = await npmStart()
    await first.npm.says(/Drivers:/)
    assert.ok(first.npm.output().includes(`Upload page:  ${first.url}/\n`), first.npm.output())
    assert.match(
      first.npm.output(),
      /Drivers: +storage file, coordination memory, database pglite, queue memory; data in /,
    )
    await eventually(async () => (await fetch(`${first.url}/readyz`)).status === 200, 'it is ready')
    const page = await fetch(`${first.url}/`)
    assert.match(page.headers.get('content-type') ?? '', /^text\/html/)
    assert.match(await page.text(), /<html/)

    const file = sampleBytes(3_000_000, 'kept')
    const tus = new Tus(first.url)
    const whole = await tus.create({ length: 5, body: 'whole' })
    const begun = await tus.createWith(file.length, file.subarray(0, 1_234_567))
    const fresh = await tus.create({ length: 7 })

    const second = await npmStart()
    assert.notEqual(await second.npm.ends(), 0)
    assert.match(
      second.npm.output(),
      /data is in use by another upload-service \(process \d+\)\. Stop that one, or give this one a folder of its own: DATA_DIR=\S+ npm start/,
    )
    assert.doesNotMatch(second.npm.output(), /\n {4}at /, 'a sentence, not a stack')
    await tus.standsAt(begun, 1_234_567, file.length)

    await first.npm.kill('SIGKILL')
    await isClean()
    const third = await npmStart()
    await third.npm.says(/Drivers:/)
    await eventually(async () => (await fetch(`${third.url}/readyz`)).status === 200, 'it is ready again')
    const again = new Tus(third.url)
    await again.contentIs(whole, 'whole')
    assert.equal(await again.offset(begun), 1_234_567)
    assert.equal(await again.offset(fresh), 0)
    assert.equal((await again.patch(begun, 1_234_567, file.subarray(1_234_567))).status, 204)
    await again.contentIs(begun, file)

    const elsewhere = await npmStart({ DATA_DIR: join(clone, 'data', 'other') })
    await elsewhere.npm.says(/Drivers:/)
    await elsewhere.npm.kill('SIGTERM')
    await isClean()
  })
})

/** The programs of the machine, without those that this project's own installation put in front. */
function outside(): string {
  const places = (process.env.PATH ?? '').split(delimiter)
  return places.filter((place) => !place.includes('node_modules')).join(delimiter)
}
