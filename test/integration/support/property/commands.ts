import fc from 'fast-check'
import type { Fault, Port } from './process.ts'
import { watched } from './quiet.ts'
import { append, create, download, head, type Sent, terminate } from './requests.ts'
import type { Sim } from './sim.ts'

/** What the model run keeps beside the world: the protocol's model lives in the uploads themselves. */
export type Nothing = Record<string, never>
type Command = fc.AsyncCommand<Nothing, Sim>

/** Sizes around the borders of parts (64 bytes) and blocks (8). */
const SIZES = [0, 1, 7, 8, 9, 30, 63, 64, 65, 100, 127, 128, 129, 192, 200, 300]

const gap = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0) },
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 30 }) },
  { weight: 3, arbitrary: fc.integer({ min: 30, max: 1500 }) },
  { weight: 2, arbitrary: fc.integer({ min: 1500, max: 12_000 }) },
)
const which = fc.nat({ max: 5 })
/** Mostly one upload that everybody is at. */
const upload = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 5 }) })
const size = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...SIZES) },
  { weight: 1, arbitrary: fc.nat({ max: 300 }) },
  { weight: 2, arbitrary: fc.integer({ min: 130, max: 700 }) },
)
const sent: fc.Arbitrary<Sent> = fc.record({
  chunk: fc.integer({ min: 1, max: 8 }),
  everyMs: fc.oneof(
    { weight: 2, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.constantFrom(1, 5, 20, 100, 400, 1200) },
  ),
  until: fc.double({ min: 0, max: 1, noNaN: true }),
  end: fc.oneof(
    { weight: 5, arbitrary: fc.constant('ended' as const) },
    { weight: 2, arbitrary: fc.constant('cut' as const) },
    { weight: 1, arbitrary: fc.constant('stalled' as const) },
  ),
  sized: fc.boolean(),
})

/** A command as data: begins something, and lets `gap` ms pass; what it began runs on beside what comes next. */
function command(name: string, given: object, run: (sim: Sim) => void | Promise<void>, after: number): Command {
  const text = `${name} ${JSON.stringify(given)} +${after}`
  return {
    check: () => true,
    toString: () => text,
    async run(_, sim) {
      sim.note(text)
      await run(sim)
      await sim.pass(after)
    },
  }
}

const creations = fc
  .record({
    on: which,
    length: fc.oneof({ weight: 4, arbitrary: size }, { weight: 1, arbitrary: fc.constant(null) }),
    body: fc.option(fc.record({ whole: fc.boolean(), size, how: sent }), { nil: null, freq: 1 }),
    gap,
  })
  .map((given) =>
    command(
      'create',
      given,
      (sim) => {
        const { length, body } = given
        const bytes = body ? sim.random.bytes(body.whole ? (length ?? body.size) : body.size) : null
        const how = body?.how ?? { chunk: 8, everyMs: 0, until: 1, end: 'ended', sized: true }
        const work = create(sim, sim.instance(given.on), { length, bytes, how })
        sim.track(
          `POST ${sim.uploads.length - 1}`,
          work.then(() => {}),
        )
      },
      given.gap,
    ),
  )

/** Where an append begins: at what its client was told, at what a HEAD right before says, or beside it. */
const place = fc.oneof(
  { weight: 4, arbitrary: fc.constant('head' as const) },
  { weight: 3, arbitrary: fc.constant('told' as const) },
  { weight: 2, arbitrary: fc.integer({ min: -70, max: 70 }) },
)

const appending = {
  on: which,
  upload,
  place,
  /** `rest`: exactly what misses, and so many bytes more or less. */
  size: fc.oneof(size, fc.record({ rest: fc.constantFrom(0, 0, 0, 1, -1, 9, 70) })),
  /** Upload-Length: what the upload has (`right`), or so much past the end of the body. */
  declared: fc.oneof(
    { weight: 5, arbitrary: fc.constant(null) },
    { weight: 2, arbitrary: fc.constant('right' as const) },
    { weight: 2, arbitrary: fc.constantFrom(0, 0, 1, 64, 100, -1) },
  ),
  how: sent,
  gap,
}

const appendings = fc.record(appending)
type Appending = typeof appendings extends fc.Arbitrary<infer T> ? T : never

const appends = appendings.map((given) => command('append', given, (sim) => beginAppend(sim, given), given.gap))

function beginAppend(sim: Sim, given: Appending): void {
  const model = sim.upload(given.upload)
  if (!model) return
  const instance = sim.instance(given.on)
  const work = async () => {
    let offset = model.told
    if (given.place === 'head') {
      const outcome = await head(sim, instance, model)
      if (outcome === 'died' || 'error' in outcome) return
      offset = outcome.standing.offset
    } else if (given.place !== 'told') offset = Math.max(0, offset + given.place)
    const { length } = model
    const missing = Math.max(0, (length ?? offset + 100) - offset)
    const count = typeof given.size === 'number' ? given.size : Math.max(0, missing + given.size.rest)
    const bytes = sim.random.bytes(count)
    const patch = { offset, bytes, how: given.how, ...declaredLength(given.declared, length, offset + count) }
    await watched(sim, model, patch, () => append(sim, instance, model, patch))
  }
  sim.track(`PATCH ${model.number}`, work())
}

function declaredLength(declared: Appending['declared'], length: number | null, end: number) {
  if (declared === null) return {}
  return { declared: declared === 'right' ? (length ?? end) : Math.max(0, end + declared) }
}

const heads = fc.record({ on: which, upload, gap }).map((given) =>
  command(
    'head',
    given,
    (sim) => {
      const upload = sim.upload(given.upload)
      if (upload)
        sim.track(
          `HEAD ${upload.number}`,
          head(sim, sim.instance(given.on), upload).then(() => {}),
        )
    },
    given.gap,
  ),
)

const terminations = fc.record({ on: which, upload, gap }).map((given) =>
  command(
    'terminate',
    given,
    (sim) => {
      const upload = sim.upload(given.upload)
      if (upload) sim.track(`DELETE ${upload.number}`, terminate(sim, sim.instance(given.on), upload))
    },
    given.gap,
  ),
)

const downloads = fc.record({ upload, gap: fc.constant(0) }).map((given) =>
  command(
    'download',
    given,
    async (sim) => {
      const upload = sim.upload(given.upload)
      if (upload) await download(sim, upload)
    },
    given.gap,
  ),
)

/** What breaks: a process (with the number of its place), Redis, or a call. */
const accident = fc.oneof(
  fc.record({ what: fc.constant('kill' as const) }),
  fc.record({ what: fc.constant('forget' as const) }),
  fc.record({ what: fc.constant('stop' as const), ms: fc.constantFrom(50, 1000, 2900, 3500, 8000, 20_000) }),
  fc.record({
    what: fc.constant('fault' as const),
    port: fc.constantFrom<Port>('store', 'store', 'store', 'records', 'coordination'),
    kind: fc.constantFrom('refused', 'lost', 'late', 'twice'),
    after: fc.nat({ max: 6 }),
  }),
)
type Accident = typeof accident extends fc.Arbitrary<infer T> ? T : never

async function happen(sim: Sim, on: number, given: Accident): Promise<void> {
  const { process } = sim.instance(on)
  // A Redis that forgets while nobody does anything leaves nothing behind in the store.
  sim.disturb(given.what !== 'forget' || sim.running.length > 0)
  sim.count(given.what)
  if (given.what === 'forget') await sim.ground.forget()
  else if (given.what === 'stop') process.stop(given.ms)
  else if (given.what === 'kill') {
    process.kill()
    await sim.replace(on)
  } else {
    const { port, kind, after } = given
    // Only the store's driver tries again by itself.
    const fault: Fault = { port, after, kind: kind === 'twice' && port !== 'store' ? 'lost' : kind }
    process.fail(fault)
  }
}

const accidents = fc
  .record({ on: which, accident, gap })
  .map((given) => command('accident', given, (sim) => happen(sim, given.on, given.accident), given.gap))

/** An append, and in the midst of it something that breaks where it runs. */
const brokenAppends = fc
  .record({ ...appending, accident, afterMs: fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 1500 })) })
  .map((given) =>
    command(
      'append, then',
      given,
      async (sim) => {
        beginAppend(sim, given)
        await sim.pass(given.afterMs)
        await happen(sim, given.on, given.accident)
      },
      given.gap,
    ),
  )

/**
 * What holds and generations are for: an append that something happens to, another client that goes on elsewhere with
 * bytes of its own, and then a Redis that forgets, so that the store alone says what counts.
 */
const overtakings = fc
  .record({
    first: fc.record({ ...appending, place: fc.constant('told' as const), size: fc.integer({ min: 20, max: 300 }) }),
    accident,
    /** Calls of the first one to the store take longer: more is on its way when it happens. */
    storeMs: fc.constantFrom(0, 0, 50, 300),
    /** When it happens; null: before the first one begins. */
    afterMs: fc.oneof(fc.constant(null), fc.nat({ max: 60 }), fc.nat({ max: 1500 })),
    untilMs: fc.oneof(fc.nat({ max: 100 }), fc.constantFrom(3100, 4000)),
    second: fc.record({
      ...appending,
      place: fc.constantFrom('head', 'told'),
      size: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 150 })),
    }),
    /** HEADs that come at the same time. */
    crowd: fc.nat({ max: 2 }),
    secondMs: fc.constantFrom(100, 1000, 6000),
    forget: fc.boolean(),
    gap,
  })
  .map((given) => command('overtaking', given, (sim) => overtake(sim, given), given.gap))

async function overtake(sim: Sim, given: Overtaking): Promise<void> {
  const { first, second, afterMs } = given
  const { process } = sim.instance(first.on)
  process.slow('store', given.storeMs)
  if (afterMs === null) await happen(sim, first.on, given.accident)
  beginAppend(sim, first)
  if (afterMs !== null) {
    await sim.pass(afterMs)
    await happen(sim, first.on, given.accident)
  }
  await sim.pass(given.untilMs)
  const model = sim.upload(first.upload)
  for (let n = 0; model && n < given.crowd; n++) {
    sim.track(
      `HEAD ${model.number}`,
      head(sim, sim.instance(first.on + n), model).then(() => {}),
    )
    await sim.pass(sim.random.below(20))
  }
  beginAppend(sim, { ...second, upload: first.upload, on: first.on + 1 })
  await sim.pass(given.secondMs)
  process.slow('store', 0)
  if (given.forget) await happen(sim, 0, { what: 'forget' })
}

interface Overtaking {
  readonly first: Appending
  readonly accident: Accident
  readonly storeMs: number
  readonly afterMs: number | null
  readonly untilMs: number
  readonly second: Appending
  readonly crowd: number
  readonly secondMs: number
  readonly forget: boolean
}

const closings = fc
  .record({ on: which, gap })
  .map((given) => command('close', given, (sim) => sim.close(given.on), given.gap))

const slowness = fc
  .record({
    on: which,
    port: fc.constantFrom<Port>('store', 'store', 'records', 'coordination'),
    ms: fc.constantFrom(0, 20, 300, 1600, 5000),
    gap,
  })
  .map((given) =>
    command(
      'slow',
      given,
      (sim) => {
        if (given.port !== 'store') sim.disturb()
        sim.instance(given.on).process.slow(given.port, given.ms)
      },
      given.gap,
    ),
  )

const sweeps = fc
  .record({ on: which, gap })
  .map((given) => command('sweep', given, (sim) => sim.track('sweep', sim.sweep(given.on)), given.gap))

/** `broken`: also faults, kills, stops and a Redis that forgets. */
export function commands(broken: boolean, maxCommands: number, replayPath?: string) {
  const usual = [creations, appends, appends, appends, appends, heads, heads, closings, sweeps, downloads]
  const rare = [terminations, slowness]
  const all = broken
    ? [
        ...usual,
        ...rare,
        accidents,
        accidents,
        brokenAppends,
        brokenAppends,
        overtakings,
        overtakings,
        overtakings,
        overtakings,
      ]
    : [...usual, ...usual, ...rare]
  return fc.commands(all, { maxCommands, size: 'max', ...(replayPath === undefined ? {} : { replayPath }) })
}
