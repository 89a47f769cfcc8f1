/** What encryption by the service costs: the same work on ours with and without ENCRYPTION_KEYS, in turns. */
import { randomBytes } from 'node:crypto'
import { freshWorld } from '../test/support/service.ts'
import type { DiscardStore } from './discard-store.ts'
import type { Load } from './load/driver.ts'
import { measure } from './measure.ts'
import { plan } from './plan.ts'
import { startOurs } from './servers.ts'

/** CPU of one work, a figure a round. */
export interface EncryptionFigures {
  readonly work: string
  readonly per: string
  readonly plain: readonly number[]
  readonly encrypted: readonly number[]
}

const WORKS = ['large', 'chunks', 'file']

/** Runs each work on two services, of which one encrypts. The first round warms up and is not counted. */
export async function measureEncryption(
  store: DiscardStore,
  load: Load,
  rounds: number,
  scale: number,
): Promise<EncryptionFigures[]> {
  const key = `bench:${randomBytes(32).toString('base64')}`
  const plain = await startOurs(await freshWorld(store.s3))
  const encrypted = await startOurs(await freshWorld(store.s3), { ENCRYPTION_KEYS: key })
  try {
    const all: EncryptionFigures[] = []
    for (const work of plan(scale).filter(({ id }) => WORKS.includes(id))) {
      const { runs } = await measure(work, [plain, encrypted], load, store, rounds + 1)
      // In turns: plain, encrypted, plain, ...
      const of = (turn: number) => runs.filter((_, index) => index > 1 && index % 2 === turn).map(({ cpu }) => cpu)
      all.push({ work: work.title, per: work.per, plain: of(0), encrypted: of(1) })
    }
    return all
  } finally {
    await plain.remove()
    await encrypted.remove()
  }
}
