/** What the checks of the settings share: a world and services that end with the check, and which keys were shown. */
import { test } from 'node:test'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { type Env, freshWorld, type RunningService, startService, type World } from '../../support/service.ts'

export interface Stage {
  readonly world: World
  /** A service in this world, in production mode, ready. */
  start(env: Env): Promise<RunningService>
  /** A proxy before the world's store; give its `url` as S3_ENDPOINT. */
  s3(): Promise<S3Proxy>
  /** Runs when the check is over, last one first, services before everything else. */
  later(end: () => unknown): void
}

const shown = new Set<string>()

/** The keys that some check shows the effect of. */
export function shownKeys(): ReadonlySet<string> {
  return shown
}

/** A test that shows from the outside what these settings (separated by spaces) do. */
export function shows(keys: string, what: string, run: (stage: Stage) => Promise<void>): void {
  for (const key of keys.split(' ')) shown.add(key)
  test(`${keys}: ${what}`, () => onStage(run))
}

/** Runs in a fresh world and ends everything that was started there. */
export async function onStage(run: (stage: Stage) => Promise<void>): Promise<void> {
  const world = await freshWorld()
  const services: RunningService[] = []
  const ends: (() => unknown)[] = []
  const stage: Stage = {
    world,
    async start(env) {
      const service = await startService({ mode: 'production', env: { ...world.env, ...env } })
      services.push(service)
      return service
    },
    async s3() {
      const proxy = await startS3Proxy(world.s3.endpoint)
      stage.later(() => proxy.close())
      return proxy
    },
    later: (end) => void ends.unshift(end),
  }
  try {
    await run(stage)
  } finally {
    await Promise.all(services.map((service) => service.kill()))
    for (const end of ends) await end()
    await world.remove()
  }
}

/** The value of one line of /metrics, like `hold_flush_total{reason="memory"}`; 0 where there is none. */
export async function metric(service: { readonly url: string }, name: string): Promise<number> {
  const answer = await fetch(`${service.url}/metrics`)
  const lines = (await answer.text()).split('\n')
  return Number(lines.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1) ?? 0)
}

/** Log lines (JSON) with this event. */
export function events(service: { logs(): string }, event: string): Record<string, unknown>[] {
  return service
    .logs()
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line): Record<string, unknown> => JSON.parse(line))
    .filter((line) => line.event === event)
}

/** A promise that a test settles. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}

/** Is it over, whether well or not? */
export async function settled(work: Promise<unknown>): Promise<boolean> {
  const pending = Symbol()
  const over = work.then(
    () => true,
    () => true,
  )
  return (await Promise.race([over, new Promise((resolve) => setImmediate(resolve, pending))])) !== pending
}
