import fc from 'fast-check'
import { commands, type Nothing } from './commands.ts'
import { bringToAnEnd } from './ending.ts'
import { create } from './requests.ts'
import { type Ground, memoryGround, Sim, type WorldShape } from './sim.ts'

export interface Runs {
  readonly numRuns: number
  readonly seed?: number
  readonly path?: string
  /** What the report says behind the commands: without it a shrunk path leads nowhere. */
  readonly replayPath?: string
  /** Also faults, kills, stops and a Redis that forgets. */
  readonly broken: boolean
  readonly maxCommands?: number
  readonly ground?: (shape: WorldShape) => Ground
  /** False: the first failure as it is. */
  readonly shrink?: boolean
  /** No new run begins after so many ms. */
  readonly budgetMs?: number
}

const shapes = (broken: boolean): fc.Arbitrary<WorldShape> =>
  fc.record({
    seed: fc.nat(),
    instances: fc.integer({ min: 1, max: 3 }),
    length: fc.option(fc.oneof(fc.integer({ min: 1, max: 700 }), fc.constantFrom(64, 128, 192, 256, 400)), { freq: 5 }),
    equalParts: fc.boolean(),
    uniqueEtags: fc.boolean(),
    segmentParts: fc.constantFrom(2, 3, 640),
    memoryBytes: fc.constantFrom(4096, 4096, 160),
    wayMs: fc.constantFrom(0, 1, broken ? 20 : 3),
  })

/** What came of the runs. */
export interface Result {
  readonly failed: boolean
  readonly runs: number
  /** The way there in words: seed and path to come here again, the smallest commands, the timed trace. */
  readonly report: string
  /** What happened in all runs: outcomes of requests, kinds of holds, flushes. */
  readonly counts: ReadonlyMap<string, number>
}

/** Runs the engine against the model, random command by random command; shrinks what fails. */
export async function check(runs: Runs): Promise<Result> {
  const { broken, ground = memoryGround, shrink = true } = runs
  let last: { readonly sim: Sim; readonly error: unknown } | null = null
  const counts = new Map<string, number>()
  const steps = commands(broken, runs.maxCommands ?? 25, runs.replayPath)
  const property = fc.asyncProperty(shapes(broken), steps, async (shape, chosen) => {
    const sim = await Sim.open(shape, ground(shape))
    try {
      const how = { chunk: 8, everyMs: 0, until: 1, end: 'ended', sized: true } as const
      await sim.wait('a creation', 60_000, create(sim, sim.instance(0), { length: shape.length, bytes: null, how }))
      await fc.asyncModelRun(() => ({ model: {} satisfies Nothing, real: sim }), chosen)
      sim.count(`uploads ${sim.uploads.length}`)
      await bringToAnEnd(sim)
    } catch (error) {
      last = { sim, error }
      throw error
    } finally {
      for (const [what, count] of sim.counts) counts.set(what, (counts.get(what) ?? 0) + count)
      await sim.remove()
    }
  })
  const details = await fc.check(property, {
    numRuns: runs.numRuns,
    endOnFailure: !shrink,
    ...(runs.seed === undefined ? {} : { seed: runs.seed }),
    ...(runs.path === undefined ? {} : { path: runs.path }),
    ...(runs.budgetMs === undefined ? {} : { interruptAfterTimeLimit: runs.budgetMs }),
  })
  if (!details.failed || !details.counterexample) return { failed: false, runs: details.numRuns, report: '', counts }
  const report = [
    `seed ${details.seed}, path ${details.counterexamplePath}, found in run ${details.numRuns}, shrunk ${details.numShrinks} times`,
    `world ${JSON.stringify(details.counterexample[0])}`,
    `commands ${String(details.counterexample[1])}`,
    ...traceOf(last),
  ]
  return { failed: true, runs: details.numRuns, report: report.join('\n'), counts }
}

function traceOf(last: { readonly sim: Sim; readonly error: unknown } | null): string[] {
  if (!last) return []
  const { error, sim } = last
  return [error instanceof Error ? (error.stack ?? error.message) : String(error), 'last failing run:', ...sim.trace]
}
