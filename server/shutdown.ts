import type { Log } from './observability/log.ts'

/** One step of the stop, in order. */
export interface Phase {
  readonly name: string
  run(): Promise<unknown>
}

/**
 * Runs the phases one after another; each gets what is left of `timeoutMs`, and one that fails or runs out of time
 * does not keep the next from running.
 */
export async function shutDown(phases: readonly Phase[], timeoutMs: number, log: Log): Promise<void> {
  const startedAt = performance.now()
  for (const phase of phases) {
    const phaseAt = performance.now()
    const left = Math.max(200, timeoutMs - (phaseAt - startedAt))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${Math.round(left)} ms`)), left)
    })
    try {
      await Promise.race([phase.run(), late])
      log.stopPhase(phase.name, performance.now() - phaseAt)
    } catch (error) {
      log.stopPhase(phase.name, performance.now() - phaseAt, error)
    } finally {
      clearTimeout(timer)
    }
  }
  log.stopped(performance.now() - startedAt)
}
