/** One object is written as all will be, to see that the store does what S3_SSE, S3_STORAGE_CLASS and S3_TAGS ask. */
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
} from '@aws-sdk/client-s3'
import { UploadError } from '../../uploads/errors.ts'
import type { BucketFinding } from './bucket-rules.ts'
import { copyPart, type Target } from './calls.ts'
import { asFailure } from './failure.ts'
import type { StoreEncryption } from './marks.ts'
import { withRetries } from './retry.ts'

/**
 * `put` writes the object at `key`. What the store refuses, or takes without doing it, is a finding. Throws
 * `store_unavailable` while the store is away or the keys may not write.
 */
export async function checkWrites(
  target: Target,
  encryption: StoreEncryption,
  key: string,
  put: () => Promise<unknown>,
): Promise<BucketFinding[]> {
  const { client, bucket: Bucket, marks } = target
  try {
    await put()
    const command = new HeadObjectCommand({ Bucket, Key: key, ...marks.customer })
    const found = await withRetries('HeadObject', () => client.send(command))
    if (!confirms(found, encryption)) {
      return [
        danger(
          `The store takes S3_SSE=${encryption.kind} without a word that the object is encrypted: it takes no notice of it. ` +
            'Give S3_SSE=none, and encrypt in another way (ENCRYPTION_KEYS).',
        ),
      ]
    }
    // Only with a customer's key a copy is more than a copy, and not every store can do it.
    if (encryption.kind === 'customer') await withRetries('UploadPartCopy', () => copied(target, key))
    return classOf(marks.create.StorageClass, found.StorageClass)
  } catch (error) {
    if (!(error instanceof UploadError) || error.code !== 'internal') throw error
    return [danger(`The store refuses what S3_SSE, S3_STORAGE_CLASS and S3_TAGS ask of it: ${error.message}.`)]
  } finally {
    // What stays because of a failure is a tail without a row: the sweeper takes it.
    await client.send(new DeleteObjectCommand({ Bucket, Key: key })).catch(asFailure)
  }
}

/** A store may take the word and keep everything in one class: that costs, and loses nothing. */
function classOf(asked: string | undefined, found = 'STANDARD'): BucketFinding[] {
  if (asked === undefined || asked === found) return []
  const message = `S3_STORAGE_CLASS is ${asked}, but the store keeps the object in class ${found}.`
  return [{ kind: 'warning', message }]
}

function danger(message: string): BucketFinding {
  return { kind: 'danger', message }
}

function confirms(found: HeadObjectCommandOutput, { kind }: StoreEncryption): boolean {
  switch (kind) {
    case 'none':
      return true
    case 'aes256':
      return found.ServerSideEncryption !== undefined
    case 'kms':
      return found.ServerSideEncryption?.startsWith('aws:kms') === true
    case 'customer':
      return found.SSECustomerAlgorithm === 'AES256'
  }
}

/** An upload that changed hands is put together by copies. */
async function copied(target: Target, key: string): Promise<void> {
  const { client, bucket: Bucket, marks } = target
  const { UploadId = '' } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: key, ...marks.create }))
  const source = { key, range: { first: 0, last: 0 } }
  try {
    await copyPart(target, key, UploadId, 1, source, undefined)
  } finally {
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key: key, UploadId })).catch(asFailure)
  }
}
