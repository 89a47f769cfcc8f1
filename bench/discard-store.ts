import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startService } from '../test/support/service.ts'
import type { TestS3 } from '../test/support/services.ts'
import type { BucketCounts } from './sink.ts'

/** The store that throws bytes away and counts what it is asked. */
export interface DiscardStore {
  readonly s3: TestS3
  /** What a bucket was asked so far, once nothing is on its way any more. */
  settled(bucket: string): Promise<BucketCounts>
  stop(): Promise<void>
}

const QUIET_MS = 100

export async function startDiscardStore(): Promise<DiscardStore> {
  const sink = await startService({ mode: 'production', env: {}, main: join(import.meta.dirname, 'sink.ts') })
  const s3: TestS3 = {
    name: 'versitygw',
    endpoint: sink.url,
    accessKeyId: 'bench-access',
    secretAccessKey: 'bench-secret',
    region: 'us-east-1',
  }
  const nothing: BucketCounts = { requests: {}, bytesIn: 0, bytesOut: 0, open: 0 }
  const ask = async (bucket: string): Promise<BucketCounts> => {
    const all: Record<string, BucketCounts> = JSON.parse(await (await fetch(`${sink.url}/-/counts`)).text())
    return all[bucket] ?? nothing
  }
  const settled = async (bucket: string): Promise<BucketCounts> => {
    for (let before = await ask(bucket); ; ) {
      await sleep(QUIET_MS)
      const now = await ask(bucket)
      if (now.open === 0 && JSON.stringify(now) === JSON.stringify(before)) return now
      before = now
    }
  }
  return { s3, settled, stop: () => sink.kill() }
}

/** What was asked between two looks. */
export function difference(after: BucketCounts, before: BucketCounts): BucketCounts {
  const kinds = Object.entries(after.requests).map(([kind, count]) => {
    const known: Readonly<Record<string, number>> = before.requests
    return [kind, count - (known[kind] ?? 0)] as const
  })
  return {
    requests: Object.fromEntries(kinds.filter(([, count]) => count > 0)),
    bytesIn: after.bytesIn - before.bytesIn,
    bytesOut: after.bytesOut - before.bytesOut,
    open: 0,
  }
}
