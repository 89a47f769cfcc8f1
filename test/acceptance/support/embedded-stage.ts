/** One embedded service whose file system a test can end, and what it told its hooks. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { type Blow, type FsFaults, fsFaults } from '../../support/fs-faults/control.ts'
import { freePorts } from '../../support/provision/ports.ts'
import { type RunningService, startService } from '../../support/service.ts'
import { idOf, Tus, UPLOADS } from './tus.ts'

const LIFECYCLE = pathToFileURL(join(import.meta.dirname, '..', '..', '..', 'hooks', 'lifecycle.ts')).href
const MIB = 1024 * 1024
const LONG_AGO = new Date(Date.now() - 86_400_000)

export interface Known {
  readonly id: string
  readonly state: string
}

export interface Struck {
  readonly revived: Promise<boolean>
  readonly giveUp: () => void
}

export class EmbeddedStage {
  /** With `data`, the sockets and what a power cut brings back: all on one file system. */
  readonly #home: string
  readonly #port: number
  readonly #faults: FsFaults
  #service: RunningService | null = null

  private constructor(home: string, port: number) {
    this.#home = home
    this.#port = port
    this.#faults = fsFaults(join(home, 'faults'))
  }

  static async open(): Promise<EmbeddedStage> {
    const home = await mkdtemp(join(tmpdir(), 'embedded-'))
    const [port = 0] = await freePorts(1)
    const stage = new EmbeddedStage(home, port)
    await writeFile(
      stage.#path('hooks.mjs'),
      `import { appendFileSync } from 'node:fs'\nimport { defineHooks } from ${JSON.stringify(LIFECYCLE)}\n` +
        `const told = ${JSON.stringify(stage.#path('told'))}\n` +
        "export default defineHooks({ 'post-finish': ({ event }) => appendFileSync(told, event.uploadId + ' ' + event.id + '\\n') })\n",
    )
    await stage.start()
    return stage
  }

  #path(name: string): string {
    return join(this.#home, name)
  }

  get data(): string {
    return this.#path('data')
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  get tus(): Tus {
    return new Tus(this.url)
  }

  logs(): string {
    return this.#service?.logs().slice(-6_000) ?? ''
  }

  async start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#service = await startService({
      mode: 'embedded',
      port: this.#port,
      env: {
        DATA_DIR: this.data,
        HOOKS_MODULE: this.#path('hooks.mjs'),
        HOLD_LEASE: '1s',
        FINISH_WAIT: '1s',
        MAX_FILE_SIZE: String(64 * MIB),
        ...this.#faults.env,
        ...env,
      },
    })
  }

  async kill(): Promise<void> {
    await this.#service?.kill()
  }

  async stop(): Promise<void> {
    assert.equal(await this.#service?.stop(), 0, this.logs())
  }

  /**
   * Counts steps from 0 again; the service dies at `step`, with `lost` its database too. `revived` resolves with true when
   * its successor serves, with false when `giveUp` was called before it died.
   */
  async strike(step: number, blow: Blow, lost: boolean): Promise<Struck> {
    await this.#faults.begin({ step, blow })
    const given = Promise.withResolvers<null>()
    const exited = this.#service?.exited ?? null
    const revived = Promise.race([exited, given.promise]).then(async (end) => {
      if (end === null) return false
      assert.equal(end.signal, 'SIGKILL', `it ended by ${end.code ?? end.signal}:\n${this.logs()}`)
      if (lost) await rm(join(this.data, 'db'), { recursive: true })
      await this.start()
      return true
    })
    return { revived, giveUp: () => given.resolve(null) }
  }

  beginCounting(): Promise<void> {
    return this.#faults.begin()
  }

  steps(): Promise<readonly string[]> {
    return this.#faults.steps()
  }

  /** Nothing more is done: what was begun is available, and no step was made for a while. */
  async rest(): Promise<void> {
    const deadline = Date.now() + 60_000
    for (let before = -1; ; ) {
      const { length } = await this.#faults.steps()
      const open = (await this.uploads()).filter(({ state }) => ['finishing', 'uploaded', 'processing'].includes(state))
      const waiting = await this.#waiting(open)
      if (length === before && waiting.length === 0) return
      assert.ok(Date.now() < deadline, `still at work: ${waiting.map(({ id, state }) => `${id} ${state}`)}`)
      before = length
      await sleep(400)
    }
  }

  /** Partial uploads rest at uploaded: they are told of by nobody. */
  async #waiting(open: readonly Known[]): Promise<Known[]> {
    const waiting: Known[] = []
    for (const known of open) {
      const head = await this.tus.head(`${UPLOADS}/${known.id}`)
      if (head.headers['upload-concat'] !== 'partial') waiting.push(known)
    }
    return waiting
  }

  /** Every upload that it knows. */
  async uploads(): Promise<Known[]> {
    const known: Known[] = []
    let cursor = ''
    do {
      const answer = await this.tus.send('GET', `${UPLOADS}?limit=100${cursor}`)
      assert.equal(answer.status, 200, `the list answered ${answer.status}`)
      const page: { items: Known[]; nextCursor: string | null } = JSON.parse(answer.body.toString())
      known.push(...page.items)
      cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`
    } while (cursor !== '')
    return known
  }

  /** The ids of the finish events that were told of an upload, each once. */
  async told(path: string): Promise<string[]> {
    const text = await readFile(this.#path('told'), 'utf8').catch(() => '')
    const lines = text.split('\n').filter((line) => line.startsWith(idOf(path)))
    return [...new Set(lines)]
  }

  /** Everything below a folder of the data, files only. */
  async files(folder: string): Promise<string[]> {
    const found = await readdir(join(this.data, folder), { recursive: true, withFileTypes: true })
    return found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  }

  /** As if a day went by for what is in the store. */
  async age(): Promise<void> {
    const found = await readdir(join(this.data, 'store'), { recursive: true })
    for (const name of found) await utimes(join(this.data, 'store', name), LONG_AGO, LONG_AGO)
  }

  async close(): Promise<void> {
    await this.kill()
    await rm(this.#home, { recursive: true, force: true, maxRetries: 5 })
  }
}
