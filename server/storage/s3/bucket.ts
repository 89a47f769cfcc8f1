import {
  BucketLocationConstraint,
  CreateBucketCommand,
  HeadBucketCommand,
  ListObjectsV2Command,
} from '@aws-sdk/client-s3'
import { UploadError } from '../../uploads/errors.ts'
import { expecting, type Target } from './calls.ts'
import { asFailure, S3Failure } from './failure.ts'
import { withRetries } from './retry.ts'

/** The store answers, and says that there is no such bucket: the configuration is wrong, waiting does not help. */
export class BucketMissing extends Error {
  readonly bucket: string

  constructor(bucket: string, where: string) {
    super(
      `The bucket "${bucket}" does not exist at ${where}. Create it, correct the bucket's name, ` +
        'or set S3_CREATE_BUCKET=true to have it created at the start.',
    )
    this.name = 'BucketMissing'
    this.bucket = bucket
  }
}

/** A HEAD has no body, so SDK and stores spell "no such bucket" in two ways. */
const MISSING = { NotFound: false, NoSuchBucket: false } as const

/** One try: is the bucket there? */
export async function bucketExists({ client, bucket }: Target, abortSignal?: AbortSignal): Promise<boolean> {
  const command = new HeadBucketCommand({ Bucket: bucket })
  return (await expecting(client.send(command, abortSignal ? { abortSignal } : {}), MISSING)) !== false
}

function isLocation(region: string): region is BucketLocationConstraint {
  return Object.values<string>(BucketLocationConstraint).includes(region)
}

/**
 * Makes sure of the bucket at the start. Throws {@link BucketMissing} when it is not there and `create` is false, and
 * `store_unavailable` when the store does not answer or refuses the keys: that may pass.
 */
export async function ensureBucket(target: Target, region: string, where: string, create: boolean): Promise<void> {
  if (await withRetries('HeadBucket', () => bucketExists(target))) return
  if (!create) throw new BucketMissing(target.bucket, where)
  const command = new CreateBucketCommand({
    Bucket: target.bucket,
    // AWS wants the region named, but for its first one, which has no name here.
    ...(isLocation(region) ? { CreateBucketConfiguration: { LocationConstraint: region } } : {}),
  })
  // Another process of ours may be first.
  const known = { BucketAlreadyOwnedByYou: null, BucketAlreadyExists: null } as const
  await withRetries('CreateBucket', () => expecting(target.client.send(command), known))
  if (await withRetries('HeadBucket', () => bucketExists(target))) return
  throw new UploadError('store_unavailable', `The bucket "${target.bucket}" was created but is not there yet`)
}

/** Is the store there, with our bucket? One try. Throws `store_unavailable`. */
export async function pingBucket(target: Target, signal?: AbortSignal): Promise<void> {
  const there = await bucketExists(target, signal).catch((error: unknown) => {
    const failure = asFailure(error)
    throw new UploadError('store_unavailable', `The store does not answer: ${failure.message}`, { cause: failure })
  })
  if (!there) throw new UploadError('store_unavailable', `The bucket "${target.bucket}" does not exist`)
}

/** What a store says of a bucket that is not there, or not ours: it is up. */
const ANSWERS = { NoSuchBucket: null, AccessDenied: null } as const

/** Is the store there, whatever it has of this bucket, and does it know our keys? One try. Throws `store_unavailable`. */
export async function pingStore({ client, bucket }: Target, abortSignal?: AbortSignal): Promise<void> {
  const command = new ListObjectsV2Command({ Bucket: bucket, MaxKeys: 1 })
  await expecting(client.send(command, abortSignal ? { abortSignal } : {}), ANSWERS).catch((error: unknown) => {
    const failure = asFailure(error)
    throw new UploadError('store_unavailable', `The store does not answer: ${failure.message}`, { cause: failure })
  })
}

/** Did the call fail because its bucket is not there? */
export function lacksBucket(error: unknown): boolean {
  return error instanceof UploadError && error.cause instanceof S3Failure && error.cause.code === 'NoSuchBucket'
}
