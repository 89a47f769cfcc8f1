import { join } from 'node:path'
import { startService } from '../../support/service.ts'
import type { TestS3 } from '../../support/services.ts'

const SINK = join(import.meta.dirname, '..', '..', '..', 'bench', 'sink.ts')

/** A store that takes everything and keeps nothing but sizes, so that only the service is measured. */
export interface Sink {
  readonly s3: TestS3
  /** Requests by kind, and bytes of bodies, of one bucket so far. */
  counts(bucket: string): Promise<{ readonly requests: Readonly<Record<string, number>>; readonly bytesIn: number }>
  stop(): Promise<void>
}

/** Starts the benchmark's discard store as a process of its own. */
export async function startSink(): Promise<Sink> {
  const sink = await startService({ mode: 'production', env: { FORGET: '1' }, main: SINK })
  return {
    s3: {
      name: 'versitygw',
      endpoint: sink.url,
      accessKeyId: 'sink-access',
      secretAccessKey: 'sink-secret',
      region: 'us-east-1',
    },
    async counts(bucket) {
      const all: Record<string, { requests: Record<string, number>; bytesIn: number }> = await (
        await fetch(`${sink.url}/-/counts`)
      ).json()
      return all[bucket] ?? { requests: {}, bytesIn: 0 }
    },
    stop: () => sink.kill(),
  }
}
