/** What the store is asked to do with every object: encrypt it, in which class, under which tags. */
import { hash } from 'node:crypto'
import type { CreateMultipartUploadCommandInput, UploadPartCopyCommandInput } from '@aws-sdk/client-s3'
import { encodeStrict } from './sign.ts'

/** Encryption by the store, with whose key. */
export type StoreEncryption =
  /** What the bucket does by itself. */
  | { readonly kind: 'none' }
  /** SSE-S3: the store's own key. */
  | { readonly kind: 'aes256' }
  /** SSE-KMS: a key of the key service; null: the bucket's, or the account's own. */
  | { readonly kind: 'kms'; readonly keyId: string | null }
  /** SSE-C: a key of ours (32 bytes) that goes along with every request and that the store forgets. */
  | { readonly kind: 'customer'; readonly key: Buffer }

/** How objects are written. Tails are encrypted the same way; class and tags are for what stays. */
export interface MarkOptions {
  readonly encryption: StoreEncryption
  /** null: the bucket's own. */
  readonly storageClass: string | null
  readonly tags: Readonly<Record<string, string>>
}

type CreateInput = Pick<
  CreateMultipartUploadCommandInput,
  'ServerSideEncryption' | 'SSEKMSKeyId' | 'StorageClass' | 'Tagging'
>
type CustomerInput = Pick<CreateMultipartUploadCommandInput, 'SSECustomerAlgorithm' | 'SSECustomerKey'>
type CopySourceInput = Pick<UploadPartCopyCommandInput, 'CopySourceSSECustomerAlgorithm' | 'CopySourceSSECustomerKey'>

/** The same for both ways to ask: headers of the hot path, and inputs of the SDK's commands. Worked out once. */
export interface Marks {
  /** Headers of a PutObject of an object that stays. As {@link tail}: lower case, sorted, behind `x-amz-security-token`. */
  readonly object: readonly string[]
  /** Headers of a PutObject of a tail. */
  readonly tail: readonly string[]
  /** Headers of an UploadPart: only a customer's key has to be said again. */
  readonly part: readonly string[]
  readonly create: CreateInput & CustomerInput
  /** For every other call that reads or writes bytes of an object, or asks for its checksums. */
  readonly customer: CustomerInput
  /** For a copy: the key of the object that is copied from. */
  readonly copySource: CopySourceInput
}

const SSE = 'x-amz-server-side-encryption'

/** Headers and inputs for these options. */
export function marksOf({ encryption, storageClass, tags }: MarkOptions): Marks {
  const tagging = Object.entries(tags)
    .map(([name, value]) => `${encodeStrict(name)}=${encodeStrict(value)}`)
    .join('&')
  const headers = encryptionHeaders(encryption)
  const customer = customerInput(encryption)
  return {
    object: [
      ...headers,
      ...(storageClass === null ? [] : ['x-amz-storage-class', storageClass]),
      ...(tagging === '' ? [] : ['x-amz-tagging', tagging]),
    ],
    tail: headers,
    part: encryption.kind === 'customer' ? headers : [],
    create: {
      ...(encryption.kind === 'aes256' ? { ServerSideEncryption: 'AES256' as const } : {}),
      ...(encryption.kind === 'kms' ? { ServerSideEncryption: 'aws:kms' as const } : {}),
      ...(encryption.kind === 'kms' && encryption.keyId !== null ? { SSEKMSKeyId: encryption.keyId } : {}),
      ...(isClass(storageClass) ? { StorageClass: storageClass } : {}),
      ...(tagging === '' ? {} : { Tagging: tagging }),
      ...customer,
    },
    customer,
    copySource:
      encryption.kind === 'customer'
        ? {
            CopySourceSSECustomerAlgorithm: 'AES256',
            CopySourceSSECustomerKey: encryption.key.toString('base64'),
          }
        : {},
  }
}

/** Stores have classes of their own beside AWS's, so that any word is one for the SDK, which only passes it on. */
function isClass(name: string | null): name is NonNullable<CreateInput['StorageClass']> {
  return name !== null
}

function encryptionHeaders(encryption: StoreEncryption): readonly string[] {
  switch (encryption.kind) {
    case 'none':
      return []
    case 'aes256':
      return [SSE, 'AES256']
    case 'kms':
      return [SSE, 'aws:kms', ...(encryption.keyId === null ? [] : [`${SSE}-aws-kms-key-id`, encryption.keyId])]
    case 'customer':
      return [
        ...[`${SSE}-customer-algorithm`, 'AES256'],
        ...[`${SSE}-customer-key`, encryption.key.toString('base64')],
        ...[`${SSE}-customer-key-md5`, hash('md5', encryption.key, 'base64')],
      ]
  }
}

function customerInput(encryption: StoreEncryption): CustomerInput {
  if (encryption.kind !== 'customer') return {}
  // The SDK adds the MD5 of the key by itself.
  return { SSECustomerAlgorithm: 'AES256', SSECustomerKey: encryption.key.toString('base64') }
}
