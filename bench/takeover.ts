/** How long a client waits when another instance, or another request, has its upload. */
import { freshWorld } from '../test/support/service.ts'
import type { TestS3 } from '../test/support/services.ts'
import type { Load } from './load/driver.ts'
import { type MeasuredServer, startOurs } from './servers.ts'

/** Times from asking (or from the kill) to the answer, ms. */
export interface Takeovers {
  readonly live: readonly number[]
  readonly killed: readonly number[]
  /** Plain packages, one process: they have no other. */
  readonly plain: readonly number[]
}

async function live(load: Load, from: MeasuredServer, to: MeasuredServer, samples: number): Promise<number[]> {
  const times: number[] = []
  for (let sample = 0; sample < samples; sample++) {
    await load.run({ name: 'hold', work: { url: from.url, count: 1 } })
    times.push(...(await load.run({ name: 'takeOver', work: { url: to.url, keeps: true } })))
  }
  return times
}

/** Two instances of ours on one world, and the plain server with itself. */
export async function measureTakeovers(
  s3: TestS3,
  load: Load,
  plain: MeasuredServer,
  samples: number,
): Promise<Takeovers> {
  const world = await freshWorld(s3)
  const [one, other] = await Promise.all([startOurs(world, {}, true), startOurs(world, {}, true)])
  try {
    await live(load, one, other, 2)
    const alive = await live(load, one, other, samples)
    await load.run({ name: 'hold', work: { url: one.url, count: samples } })
    const gone = one.kill()
    const killed = await load.run({ name: 'takeOver', work: { url: other.url, keeps: false } })
    await gone
    return { live: alive, killed, plain: await live(load, plain, plain, 3) }
  } finally {
    await other.remove()
    await one.kill()
    await world.remove()
  }
}
