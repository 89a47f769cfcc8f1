import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { Outcome } from './generator.ts'
import type { Work } from './works.ts'

/** The load generator, in a process of its own; one work at a time. */
export class Load {
  readonly #child: ChildProcess = fork(join(import.meta.dirname, 'generator.ts'))
  #settle: (outcome: Outcome) => void = () => {}

  constructor() {
    this.#child.on('message', (outcome: Outcome) => this.#settle(outcome))
    this.#child.once('exit', () => this.#settle({ error: 'the load generator ended' }))
  }

  /** Does one work and returns the times of its requests in ms. Throws what went wrong. */
  async run(work: Work): Promise<number[]> {
    const outcome = await new Promise<Outcome>((resolve) => {
      this.#settle = resolve
      this.#child.send(work)
    })
    if ('error' in outcome) throw new Error(outcome.error)
    return outcome.times
  }

  stop(): void {
    this.#child.kill()
  }
}
