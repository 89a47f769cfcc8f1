import type { Pool, PoolClient } from 'pg'

const RETRY_MS = 1_000

/**
 * Opens the pool's minimum now and again whenever connections went: pg-pool's own `min` (3.14) only spares idle ones
 * from being closed. While the database is away it tries once a second. Returns how to stop.
 */
export function keepMinimum(pool: Pool, min: number): () => void {
  let timer: NodeJS.Timeout | null = null
  let stopped = false
  let filling = false

  async function fill(): Promise<void> {
    if (stopped || filling) return
    filling = true
    try {
      await openUpTo(pool, min)
    } finally {
      filling = false
    }
    if (pool.totalCount < min) later()
  }

  function later(): void {
    if (stopped || timer) return
    timer = setTimeout(() => {
      timer = null
      void fill()
    }, RETRY_MS)
    timer.unref()
  }

  pool.on('remove', () => {
    if (pool.totalCount < min) later()
  })
  void fill()
  return () => {
    stopped = true
    if (timer) clearTimeout(timer)
  }
}

/** Takes the idle ones too, so that the pool cannot answer with them, and lets all go at once. Never throws. */
async function openUpTo(pool: Pool, min: number): Promise<void> {
  const wanted = pool.idleCount + Math.max(0, min - pool.totalCount)
  if (pool.totalCount >= min) return
  const clients: PoolClient[] = []
  const opening = Array.from({ length: wanted }, async () => {
    clients.push(await pool.connect())
  })
  await Promise.allSettled(opening)
  for (const client of clients) client.release()
}
