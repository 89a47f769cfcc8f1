/** How the process and what it depends on are: the facts behind `/livez`, `/readyz` and `/health`. */

export type Phase = 'starting' | 'serving' | 'draining'
export type ProbeName = 'database' | 'redis' | 'storage'

export interface Probe {
  /** `postgres`, `memory`, ...: shown beside the state. */
  readonly driver: string
  /** Resolves when the dependency answered; what it rejects with goes to `onChange`, never into an answer. */
  ping(signal: AbortSignal): Promise<unknown>
}

export interface Check {
  readonly state: 'up' | 'down'
  readonly driver: string
  readonly latencyMs: number
  /** What a stranger may know of a failure. */
  readonly reason?: 'timeout' | 'unavailable'
}

export interface HealthReport {
  /** `degraded`: serving, but something that it depends on does not answer. */
  readonly status: 'ok' | 'degraded' | 'starting' | 'draining'
  readonly checks: {
    readonly application: { readonly state: Phase; readonly latencyMs: number; readonly uptimeSeconds: number }
  } & Readonly<Record<ProbeName, Check>>
}

export interface HealthOptions {
  readonly probes: Readonly<Record<ProbeName, Probe>>
  /** A probe that takes longer is down. Default 2 000. */
  readonly timeoutMs?: number
  /** A report is given out again for so long. Default 1 000. */
  readonly cacheMs?: number
  /** A dependency went away or came back (as far as reports were asked for); the first look counts only when it is down. */
  readonly onChange?: (name: ProbeName, state: 'up' | 'down', cause: unknown) => void
  /** Monotonic, milliseconds; for tests. */
  readonly now?: () => number
}

export interface Health {
  phase(): Phase
  /** The start is over. A draining process stays so. */
  serve(): void
  /** The stop has begun. */
  drain(): void
  /** Asks every dependency, each within the time limit. Never rejects. */
  report(): Promise<HealthReport>
}

interface Outcome {
  readonly check: Check
  readonly cause: unknown
}

type Checks = Readonly<Record<ProbeName, Check>>

const NAMES = ['database', 'redis', 'storage'] as const

/** Begins in `starting`. */
export function createHealth(options: HealthOptions): Health {
  const { probes, timeoutMs = 2000, cacheMs = 1000 } = options
  const now = options.now ?? (() => performance.now())
  const startedAt = now()
  const known = new Map<ProbeName, 'up' | 'down'>()
  let phase: Phase = 'starting'
  let last: { readonly at: number; readonly checks: Promise<Checks> } | null = null

  async function look(name: ProbeName): Promise<Check> {
    const { check, cause } = await ask(probes[name], timeoutMs, now)
    const before = known.get(name) ?? 'up'
    known.set(name, check.state)
    if (check.state !== before) options.onChange?.(name, check.state, cause)
    return check
  }

  async function lookAtAll(): Promise<Checks> {
    const [database, redis, storage] = await Promise.all([look('database'), look('redis'), look('storage')])
    return { database, redis, storage }
  }

  return {
    phase: () => phase,
    serve() {
      if (phase === 'starting') phase = 'serving'
    },
    drain() {
      phase = 'draining'
    },
    async report() {
      const began = now()
      if (last === null || began - last.at >= cacheMs) last = { at: began, checks: lookAtAll() }
      const checks = await last.checks
      const uptimeSeconds = Math.floor((now() - startedAt) / 1000)
      return {
        status: statusOf(phase, checks),
        checks: { application: { state: phase, latencyMs: rounded(now() - began), uptimeSeconds }, ...checks },
      }
    },
  }
}

function statusOf(phase: Phase, checks: Checks): HealthReport['status'] {
  if (phase !== 'serving') return phase
  return NAMES.every((name) => checks[name].state === 'up') ? 'ok' : 'degraded'
}

/** One probe, bounded in time also when it takes no notice of its signal. */
async function ask(probe: Probe, timeoutMs: number, now: () => number): Promise<Outcome> {
  const began = now()
  const limit = new AbortController()
  const late = Symbol()
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<typeof late>((resolve) => {
    timer = setTimeout(() => resolve(late), timeoutMs)
  })
  const down = (reason: 'timeout' | 'unavailable', cause: unknown): Outcome => ({
    check: { state: 'down', driver: probe.driver, latencyMs: rounded(now() - began), reason },
    cause,
  })
  try {
    const answer = await Promise.race([probe.ping(limit.signal), timeout])
    if (answer === late) return down('timeout', new Error(`No answer within ${timeoutMs} ms`))
    return { check: { state: 'up', driver: probe.driver, latencyMs: rounded(now() - began) }, cause: null }
  } catch (error) {
    return down('unavailable', error)
  } finally {
    clearTimeout(timer)
    limit.abort()
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10
}
