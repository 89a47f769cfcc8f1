import pg, { type Pool, type PoolClient } from 'pg'
import type { PoolStats } from './driver.ts'

/** A pool, and what else ends with it. */
export interface OpenPool {
  readonly pool: Pool
  /** Stops what opens connections by itself. */
  readonly quiet: () => void
}

/** Looks asked for while calls still wait for a connection of the pool that goes. */
const LOOK_MS = 20

/** A pool that can be replaced by a new one while it is used. */
export class SwappablePool {
  readonly #open: () => OpenPool
  #current: OpenPool
  #swapping: Promise<void> | null = null

  constructor(open: () => OpenPool) {
    this.#open = open
    this.#current = open()
  }

  /** What Kysely cancels a query with. */
  readonly Client = pg.Client

  /** Kysely reads them of the pool that it knows. */
  get options(): Pool['options'] {
    return this.#current.pool.options
  }

  connect(): Promise<PoolClient> {
    return this.#current.pool.connect()
  }

  stats(): PoolStats {
    const { pool } = this.#current
    return { total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }
  }

  /**
   * New connections for the old ones: whoever asks from now on gets a new one; calls under way end on theirs. Resolves
   * when the last old connection is closed. Rejects, with everything as before, when no new connection is to be had.
   */
  swap(): Promise<void> {
    this.#swapping ??= this.#swap().finally(() => {
      this.#swapping = null
    })
    return this.#swapping
  }

  /** Ends every connection; called once. */
  async end(): Promise<void> {
    await this.#swapping?.catch(() => {})
    this.#current.quiet()
    // The pool is ended here and not by Kysely, which leaves alone what no query went through.
    await this.#current.pool.end()
  }

  async #swap(): Promise<void> {
    const next = this.#open()
    try {
      const client = await next.pool.connect()
      client.release()
    } catch (error) {
      next.quiet()
      await next.pool.end()
      throw error
    }
    const old = this.#current
    this.#current = next
    await drain(old)
  }
}

async function drain({ pool, quiet }: OpenPool): Promise<void> {
  quiet()
  // A pool that ends forgets those who wait; they get the connections that come back, or their own time limit.
  while (pool.waitingCount > 0) await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  const left = pool.totalCount
  const closed = new Promise<void>((resolve) => {
    let count = 0
    if (left === 0) resolve()
    pool.on('remove', () => {
      count++
      if (count >= left) resolve()
    })
  })
  await pool.end()
  await closed
}
