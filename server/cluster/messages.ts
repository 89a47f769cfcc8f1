import type { CountStep, Snapshot } from '../observability/aggregate.ts'

/** What the processes of one instance say to each other. */
export type ToPrimary =
  | { readonly kind: 'counted'; readonly steps: readonly CountStep[] }
  | { readonly kind: 'snapshot'; readonly ask: number; readonly snapshot: Snapshot }
  | { readonly kind: 'scrape'; readonly ask: number }
  /** This process cannot go on, and neither could another in its place. */
  | { readonly kind: 'fatal'; readonly message: string }
  | { readonly kind: 'listening'; readonly address: string }

export type ToWorker =
  | { readonly kind: 'measure'; readonly ask: number }
  | { readonly kind: 'scraped'; readonly ask: number; readonly body: string }

const TO_PRIMARY = ['counted', 'snapshot', 'scrape', 'fatal', 'listening']
const TO_WORKER = ['measure', 'scraped']

function kindOf(message: unknown): unknown {
  return typeof message === 'object' && message !== null && 'kind' in message ? message.kind : null
}

/** Both ends are this program: the kind says the rest. */
export function isToPrimary(message: unknown): message is ToPrimary {
  return TO_PRIMARY.includes(String(kindOf(message)))
}

export function isToWorker(message: unknown): message is ToWorker {
  return TO_WORKER.includes(String(kindOf(message)))
}
