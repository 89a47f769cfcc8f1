import type { Log } from './observability/log.ts'

/** Something done again and again until it is stopped; rounds never overlap. */
export interface Repeated {
  stop(): Promise<void>
}

/** Runs `work` every `everyMs`; a round that fails is logged, and the next one comes all the same. */
export function repeat(name: string, everyMs: number, log: Log, work: () => Promise<void>): Repeated {
  let running: Promise<void> = Promise.resolve()
  let busy = false
  const timer = setInterval(() => {
    if (busy) return
    busy = true
    running = work()
      .catch((error) => log.background(name, error))
      .finally(() => {
        busy = false
      })
  }, everyMs)
  timer.unref()
  return {
    async stop() {
      clearInterval(timer)
      await running
    },
  }
}
