import { type ChildProcess, fork } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CrowdOrder, CrowdReport } from './crowd-process.ts'

/** A crowd at work. */
export interface Crowd {
  /** Every client has its upload open and sent its first bytes. */
  readonly open: Promise<void>
  /** Its time is over and its connections are closed. */
  readonly report: Promise<CrowdReport>
}

/** Starts slow clients in a process of their own; it ends by itself. */
export function startCrowd(order: CrowdOrder): Crowd {
  const child: ChildProcess = fork(join(import.meta.dirname, 'crowd-process.ts'))
  const { promise: open, resolve: opened } = Promise.withResolvers<void>()
  const report = new Promise<CrowdReport>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the crowd ended without a word')))
    child.on('message', (message: 'open' | CrowdReport) => {
      if (message === 'open') return opened()
      opened()
      resolve(message)
      child.disconnect()
    })
  })
  child.send(order)
  return { open, report: report.finally(() => child.kill()) }
}

/** The resident memory of another process, looked at again and again. */
export class ResidentWatch {
  readonly #pid: number
  readonly samples: number[] = []
  #running = true
  readonly #watching: Promise<void>

  constructor(pid: number, everyMs = 50) {
    this.#pid = pid
    this.#watching = this.#watch(everyMs)
  }

  async #watch(everyMs: number): Promise<void> {
    while (this.#running) {
      this.samples.push(await residentMiB(this.#pid))
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
  }

  async stop(): Promise<void> {
    this.#running = false
    await this.#watching
  }

  get peak(): number {
    return Math.max(...this.samples)
  }

  /** The mean over a share of the time, 0 to 1. */
  mean(from: number, to: number): number {
    const part = this.samples.slice(Math.floor(from * this.samples.length), Math.ceil(to * this.samples.length))
    return part.reduce((sum, value) => sum + value, 0) / part.length
  }
}

/** VmRSS of a process, MiB. */
export async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024
}
