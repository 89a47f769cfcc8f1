/** The load test of the deployment guide, small: it ends well on the service, and says what is wrong with a faulty one. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Fault, startFaultyServer } from '../support/faulty-tus-server.ts'
import { freshDataDir, startService } from '../support/service.ts'

const ROOT = join(import.meta.dirname, '..', '..')
/** Times of a busy test machine are no finding; thresholds of errors and contents stay the guide's. */
const PATIENT = ['--max-metadata-ms=20000']
const SMALL = ['--size=160KiB,50KB', '--chunk=32KiB', '--per-minute=0', '--cuts=0.3']
/** Paced: several of these run at once. */
const SHORT = ['--concurrent=5', '--duration=3', '--ramp=0.2', ...SMALL, '--per-minute=200MB']

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** @param onOutput may send the process a signal */
async function loadTest(args: readonly string[], onStderr = (_kill: () => void): void => {}): Promise<Ended> {
  const child = spawn(process.execPath, [join(ROOT, 'scripts', 'load-test.js'), ...args], {
    env: { PATH: process.env.PATH, UPLOAD_TOKEN: 'a-secret-token' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
    onStderr(() => child.kill('SIGINT'))
  })
  const [code] = await once(child, 'close')
  return { code, out, err }
}

async function against(fault: Fault, ...args: string[]): Promise<Ended> {
  const server = await startFaultyServer(fault)
  try {
    return await loadTest([`--url=${server.url}`, ...SHORT, ...args])
  } finally {
    await server.close()
  }
}

/** The thresholds that a report says were broken, without what was seen. */
function brokenIn(out: string): string[] {
  return [...out.matchAll(/^BROKEN (.*?) \(/gm)].map(([, what]) => what ?? '').sort()
}

const REQUESTS = 'failed requests below 0.1 %'
const UPLOADS = 'failed uploads below 0.1 %'
const CONTENT = 'every content as it was sent'
const SOME = 'some uploads verified'

const FOUND: readonly (readonly [fault: Fault, args: string[], broken: string[], said: RegExp])[] = [
  [
    'wrong byte in downloads',
    [],
    [CONTENT, REQUESTS, UPLOADS, SOME],
    /download: wrong content: .* SHA-256 [0-9a-f]{64}, sent [0-9a-f]{64}/,
  ],
  ['wrong sha256 in records', ['--verify=info'], [CONTENT, REQUESTS, UPLOADS, SOME], /info: wrong content/],
  ['shorter than it says', [], [CONTENT, REQUESTS, UPLOADS, SOME], /download: wrong content/],
  ['fails some PATCHes', [], [REQUESTS], /error: \d+ x PATCH: 500 internal/],
  ['fails every PATCH', ['--duration=4'], [REQUESTS, UPLOADS, SOME], /PATCH: 500 internal/],
  ['forgets bytes after a break', [], [REQUESTS, UPLOADS], /HEAD: acknowledged bytes are gone/],
  ['claims more than came', [], [REQUESTS, UPLOADS], /HEAD: more bytes than were sent/],
  ['never answers HEAD', ['--timeout=0.5', '--cuts=0'], [REQUESTS, UPLOADS, SOME], /HEAD: timeout/],
]

describe('the load test', () => {
  let dir: string
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'load-test-'))
  })
  after(() => rm(dir, { recursive: true, force: true }))

  test('20 clients for 5 s against the embedded service: every threshold of errors and contents holds', async () => {
    const data = await freshDataDir()
    const service = await startService({ mode: 'embedded', env: { DATA_DIR: data.dir } })
    const json = join(dir, 'report.json')
    const args = ['--concurrent=20', '--duration=5', '--verify=both', `--json=${json}`, ...SMALL, ...PATIENT]
    args.push('--size=48KiB,20KB', '--chunk=16KiB')
    try {
      const { code, out, err } = await loadTest([`--url=${service.url}`, ...args])
      assert.equal(code, 0, `${out}\n${err}`)
      const report = JSON.parse(await readFile(json, 'utf8'))
      assert.equal(report.ok, true)
      assert.equal(report.counts.errors, 0)
      const { cuts } = report.counts
      assert.ok(
        report.connections <= 20 + cuts + report.counts.busy,
        `connections are kept: ${report.connections} opened, ${cuts} cut`,
      )
      assert.ok(report.counts.uploadsVerified >= 20, out)
      assert.equal(report.counts.uploadsVerified, report.counts.uploadsBegun, 'all that were begun have ended')
      assert.ok(cuts > 0, 'some were cut in mid-body, and went on')
      for (const name of ['POST', 'HEAD', 'info']) {
        const row = report.latencies.find(({ operation }: { operation: string }) => operation === name)
        assert.ok(row.samples > 0 && row.p50 <= row.p95 && row.p95 <= row.max, `${name}: ${JSON.stringify(row)}`)
      }
      assert.ok(!JSON.stringify(report).includes('a-secret-token') && !out.includes('a-secret-token'))
      const left = await (await fetch(`${service.url}/api/v1/uploads?state=available`)).json()
      assert.deepEqual(left.items, [], 'verified uploads are removed')
    } finally {
      await service.stop()
      await data.remove()
    }
  })

  test('a server that is right passes, so that what follows is about the faults', async () => {
    const { code, out } = await against('none', '--verify=both', ...PATIENT)
    assert.equal(code, 0, out)
    assert.deepEqual(brokenIn(out), [])
  })

  describe('against a server that is wrong', { concurrency: 3 }, () => {
    for (const [fault, args, broken, said] of FOUND) {
      test(`it fails: ${fault}`, async () => {
        const { code, out, err } = await against(fault, ...PATIENT, ...args)
        assert.equal(code, 1, `${out}\n${err}`)
        // Latencies without a sample are what happens when no upload gets so far.
        const found = brokenIn(out).filter((what) => !what.includes('ms at p95'))
        assert.deepEqual(found, [...broken].sort(), out)
        assert.match(out, said)
      })
    }
  })

  test('creations that take 400 ms break the threshold of POST and no other', async () => {
    const { code, out } = await against('slow creations', '--max-metadata-ms=390')
    assert.equal(code, 1, out)
    assert.ok(brokenIn(out).includes('POST below 390 ms at p95'), out)
    assert.doesNotMatch(out, /^BROKEN failed/m)
  })

  test('Ctrl-C prints the report so far and ends with 130', async () => {
    const server = await startFaultyServer('none')
    try {
      const args = [`--url=${server.url}`, '--concurrent=5', '--duration=600', '--ramp=1', ...SMALL, ...PATIENT]
      const { code, out } = await loadTest(args, (kill) => kill())
      assert.equal(code, 130, out)
      assert.match(out, /INTERRUPTED: the report so far/)
      assert.match(out, /^uploads {5}[1-9]\d* verified/m)
    } finally {
      await server.close()
    }
  })

  test('what cannot be tested ends with 2 and a sentence', async () => {
    const nobody = await startFaultyServer('none')
    await nobody.close()
    const gone = await loadTest([`--url=${nobody.url}`, ...SHORT])
    assert.equal(gone.code, 2)
    assert.match(gone.err, /does not answer: ECONNREFUSED/)
    const wrong = await loadTest(['--concurrent=0', '--size=1XB', '--cunks=3'])
    assert.equal(wrong.code, 2)
    for (const fault of ['--cunks=3: not known', '--concurrent=0: expected', '--size=1XB: expected']) {
      assert.ok(wrong.err.includes(fault), wrong.err)
    }
    assert.equal(wrong.err.trim().split('\n').length, 3, 'every fault at once')
  })
})
