/** Two instances on one world, each with an S3 proxy of its own: so it is known whose request a blow fell upon. */
import { type S3Proxy, startS3Proxy } from '../../../support/s3-proxy.ts'
import { type Env, freshWorld, type RunningService, startService, type World } from '../../../support/service.ts'
import type { TestS3 } from '../../../support/services.ts'
import { Track } from './track.ts'

const MIB = 1024 * 1024

/** Short leases, no sweeper that cleans up behind the walk, and HEADs that do not cut on a busy machine. */
const WALKED: Env = {
  HOLD_LEASE: '1s',
  FINISH_WAIT: '1s',
  INSPECT_STALL: '15s',
  WORKER_IN_SERVER: 'false',
  MAX_FILE_SIZE: String(64 * MIB),
}

interface Slot {
  readonly proxy: S3Proxy
  service: RunningService
  /** Settles when the one that was killed has a successor on its port. */
  replaced: Promise<void>
}

export class Stage {
  readonly world: World
  readonly track: Track
  readonly #env: Env
  readonly #slots: Slot[] = []

  private constructor(world: World, env: Env) {
    this.world = world
    this.track = new Track()
    this.#env = env
  }

  /** `env` is added to the world's own. */
  static async open(store: TestS3, env: Env = {}, world?: World): Promise<Stage> {
    const own = world ?? (await freshWorld(store))
    const stage = new Stage(own, { ...own.env, ...WALKED, ...env })
    try {
      await Promise.all([stage.#join(0), stage.#join(1)])
    } catch (error) {
      await stage.close()
      throw error
    }
    return stage
  }

  async #join(index: number): Promise<void> {
    const proxy = await startS3Proxy(this.world.s3.endpoint)
    this.track.follow(proxy, index)
    const service = await this.#start(proxy)
    this.#slots[index] = { proxy, service, replaced: Promise.resolve() }
  }

  #start(proxy: S3Proxy, port?: number): Promise<RunningService> {
    const env = { ...this.#env, S3_ENDPOINT: proxy.url }
    return startService(port === undefined ? { mode: 'production', env } : { mode: 'production', env, port })
  }

  /** Where the instances listen. */
  get origins(): string[] {
    return this.#slots.map(({ service }) => service.url)
  }

  /** SIGKILL; resolves when it is dead. A successor starts in its place. */
  async kill(index: number): Promise<void> {
    const slot = this.#slots[index]
    if (!slot) throw new Error(`no instance ${index}`)
    const { service, proxy } = slot
    await service.kill()
    slot.replaced = this.#start(proxy, service.port).then((next) => {
      slot.service = next
    })
    slot.replaced.catch(() => {}) // whole() tells of it
  }

  /** Every instance that was killed has its successor. */
  async whole(): Promise<void> {
    await Promise.all(this.#slots.map(({ replaced }) => replaced))
  }

  /** The end of what each instance wrote; for failures. */
  logs(): string {
    return this.#slots.map(({ service }) => service.logs().slice(-4_000)).join('\n--- the other instance\n')
  }

  /** Ends the instances; the world stays. */
  async stop(): Promise<void> {
    await this.whole().catch(() => {})
    await Promise.all(this.#slots.map(({ service }) => service.kill()))
    await Promise.all(this.#slots.map(({ proxy }) => proxy.close()))
    this.#slots.length = 0
  }

  async close(): Promise<void> {
    await this.stop()
    await this.world.remove()
  }
}
