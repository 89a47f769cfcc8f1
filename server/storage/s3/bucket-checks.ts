import {
  GetBucketLifecycleConfigurationCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  type GetObjectLockConfigurationCommandOutput,
} from '@aws-sdk/client-s3'
import { type BucketFacts, type BucketFinding, findingsOf, type OurKeys } from './bucket-rules.ts'
import type { Target } from './calls.ts'
import { asFailure } from './failure.ts'
import { withRetries } from './retry.ts'

/** The bucket would lose what clients were told is stored, or does not do what the settings ask of it. */
export class BucketUnfit extends Error {
  readonly bucket: string

  constructor(bucket: string, dangers: readonly BucketFinding[]) {
    const list = dangers.map(({ message }) => `\n- ${message}`).join('')
    super(
      `The bucket "${bucket}" is not fit for uploads:${list}\nCorrect it, or set S3_BUCKET_CHECKS=warn to start nevertheless.`,
    )
    this.name = 'BucketUnfit'
    this.bucket = bucket
  }
}

/** What a bucket answers when there is no such configuration. */
const NONE = ['NoSuchLifecycleConfiguration', 'ObjectLockConfigurationNotFoundError', 'NoSuchObjectLockConfiguration']

/**
 * Asks the bucket for its versioning, Object Lock and lifecycle rules. What it does not let us see, or does not know, is
 * a finding of its own and no failure. Throws `store_unavailable` while the store is away.
 */
export async function checkBucket(target: Target, keys: OurKeys): Promise<BucketFinding[]> {
  const { client, bucket: Bucket } = target
  const unknown: BucketFinding[] = []
  const ask = async <T>(what: string, send: () => Promise<T>): Promise<T | 'none' | null> => {
    const answer = await withRetries(what, () => answered(send))
    if (!(answer instanceof Refused)) return answer
    if (NONE.includes(answer.code)) return 'none'
    unknown.push({ kind: 'unknown', message: `The bucket "${Bucket}" does not say its ${what}: ${answer.message}` })
    return null
  }
  const [versioning, lock, lifecycle] = await Promise.all([
    ask('versioning', () => client.send(new GetBucketVersioningCommand({ Bucket }))),
    ask('Object Lock', () => client.send(new GetObjectLockConfigurationCommand({ Bucket }))),
    ask('lifecycle rules', () => client.send(new GetBucketLifecycleConfigurationCommand({ Bucket }))),
  ])
  const facts: BucketFacts = {
    versioning: versioning === null ? null : versioning !== 'none' && versioning.Status === 'Enabled' ? 'on' : 'off',
    retention: lock === null ? null : lock === 'none' ? 'off' : retentionOf(lock),
    lifecycle: lifecycle === null ? null : lifecycle === 'none' ? [] : (lifecycle.Rules ?? []),
  }
  return [...findingsOf(facts, keys), ...unknown]
}

/** An answer that is no: the call is unknown, or not allowed. */
class Refused {
  readonly code: string
  readonly message: string

  constructor(code: string, message: string) {
    this.code = code
    this.message = message
  }
}

/** One try; throws only what a later try may change. */
async function answered<T>(send: () => Promise<T>): Promise<T | Refused> {
  try {
    return await send()
  } catch (error) {
    const failure = asFailure(error)
    if (failure.retryable || failure.status === null) throw failure
    return new Refused(failure.code, failure.message)
  }
}

function retentionOf({ ObjectLockConfiguration: lock }: GetObjectLockConfigurationCommandOutput): string {
  const rule = lock?.ObjectLockEnabled === 'Enabled' ? lock.Rule?.DefaultRetention : undefined
  if (!rule) return 'off'
  const [count, unit] = rule.Years === undefined ? [rule.Days ?? 0, 'day'] : [rule.Years, 'year']
  return `for ${count} ${unit}${count === 1 ? '' : 's'} (${rule.Mode})`
}
