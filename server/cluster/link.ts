import cluster from 'node:cluster'
import type { CountStep, Snapshot } from '../observability/aggregate.ts'
import { isToWorker, type ToPrimary } from './messages.ts'

/** A worker's end of the line to its primary. */
export interface Link {
  /** Reports a step of a counter; many at once go in one message, before anything else this process does. */
  counted(step: CountStep): void
  /** The exposition of the whole instance. */
  scrape(): Promise<string>
  /** Who answers when the primary asks what this process measured. */
  measureWith(measure: () => Promise<Snapshot>): void
  listening(address: string): void
  fatal(message: string): void
}

const SCRAPE_MS = 5000

/** null: this process is alone. */
export function linkToPrimary(): Link | null {
  if (!cluster.isWorker) return null
  const say = (message: ToPrimary): void => {
    if (process.connected) process.send?.(message)
  }
  let steps: CountStep[] = []
  let measure: () => Promise<Snapshot> = async () => []
  let asks = 0
  const asked = new Map<number, (body: string) => void>()
  process.on('message', (message) => {
    if (!isToWorker(message)) return
    if (message.kind === 'scraped') asked.get(message.ask)?.(message.body)
    else void measure().then((snapshot) => say({ kind: 'snapshot', ask: message.ask, snapshot }))
  })
  return {
    counted(step) {
      if (steps.length === 0) {
        process.nextTick(() => {
          say({ kind: 'counted', steps })
          steps = []
        })
      }
      steps.push(step)
    },
    scrape() {
      const ask = ++asks
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => done(null), SCRAPE_MS)
        const done = (body: string | null) => {
          clearTimeout(timer)
          asked.delete(ask)
          if (body === null) reject(new Error('the primary did not answer in time'))
          else resolve(body)
        }
        asked.set(ask, done)
        say({ kind: 'scrape', ask })
      })
    },
    measureWith(answer) {
      measure = answer
    },
    listening: (address) => say({ kind: 'listening', address }),
    fatal: (message) => say({ kind: 'fatal', message }),
  }
}
