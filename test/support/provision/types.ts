import type { Report } from './install.ts'

/** Where a service keeps its files (removed by the caller) and whom it tells about slow steps. */
export interface StartOptions {
  readonly dir: string
  readonly report: Report
}

/** A service that runs: how to reach it and how to end it. */
export interface Started<T> {
  readonly value: T
  stop(): Promise<void>
}
