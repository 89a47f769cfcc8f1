/** The SDK's calls, one try each, as plain values. What may be an answer is a value; everything else throws. */
import {
  type CompletedPart,
  CompleteMultipartUploadCommand,
  DeleteObjectsCommand,
  type Part as ListedPart,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  ListPartsCommand,
  type S3Client,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { crc32Base64, parseCrc32Base64 } from '../../uploads/crc32.ts'
import type { ByteRange, StoredObject } from '../../uploads/ports/byte-store.ts'
import type { Part } from '../../uploads/words.ts'
import { asFailure, S3Failure } from './failure.ts'
import type { Marks } from './marks.ts'
import { encodeKey } from './sign.ts'

/** Where a call goes. */
export interface Target {
  readonly client: S3Client
  readonly bucket: string
  readonly marks: Marks
}

/** A try whose failures with these S3 codes are answers. */
export async function expecting<T, E>(attempt: Promise<T>, expected: Readonly<Record<string, E>>): Promise<T | E> {
  try {
    return await attempt
  } catch (error) {
    const failure = asFailure(error)
    const answer = Object.hasOwn(expected, failure.code) ? expected[failure.code] : undefined
    if (answer === undefined) throw failure
    return answer
  }
}

/** An ETag with its quotes, which some stores leave out. */
export function quotedEtag(etag: string | undefined): string {
  return etag === undefined || etag.startsWith('"') ? (etag ?? '""') : `"${etag}"`
}

/** An answer that lacks what S3 promises. */
function unexpected(what: string): S3Failure {
  return new S3Failure({ status: 200, code: 'UnexpectedAnswer', message: what, sent: true })
}

export type Completed = 'done' | 'no-such-upload' | 'invalid-part'

const COMPLETE_REFUSALS: Readonly<Record<string, Completed>> = {
  NoSuchUpload: 'no-such-upload',
  InvalidPart: 'invalid-part',
  InvalidPartOrder: 'invalid-part',
  EntityTooSmall: 'invalid-part',
  // The whole is not what the caller's CRC-32 says, so some part is not.
  BadDigest: 'invalid-part',
}

/** Stores that keep a part's CRC-32 want it again here (and list it); the others leave it out of their lists. */
function completedPart({ number, etag, crc32 }: Part): CompletedPart {
  return { PartNumber: number, ETag: etag, ...(crc32 === null ? {} : { ChecksumCRC32: crc32Base64(crc32) }) }
}

/** One try of CompleteMultipartUpload, size and full-object CRC-32 checked by the store. */
export async function complete(
  { client, bucket, marks }: Target,
  key: string,
  multipartId: string,
  parts: readonly Part[],
  whole: { readonly bytes: number; readonly crc32: number | null },
  abortSignal: AbortSignal | undefined,
): Promise<Completed> {
  const command = new CompleteMultipartUploadCommand({
    Bucket: bucket,
    Key: key,
    UploadId: multipartId,
    MultipartUpload: { Parts: parts.map(completedPart) },
    MpuObjectSize: whole.bytes,
    ...(whole.crc32 === null ? {} : { ChecksumType: 'FULL_OBJECT', ChecksumCRC32: crc32Base64(whole.crc32) }),
    ...marks.customer,
  })
  const answer = await expecting(client.send(command, abortSignal ? { abortSignal } : {}), COMPLETE_REFUSALS)
  if (typeof answer === 'string') return answer
  // S3 answers 200 before it knows. The SDK finds an error in the body only when nothing follows it.
  if (answer.ETag === undefined) {
    throw new S3Failure({ status: 200, code: 'InternalError', message: 'Complete without an ETag', sent: true })
  }
  return 'done'
}

/** All pages of ListParts; null: no such multipart upload. `page` runs each request (with its retries). */
export async function listParts(
  { client, bucket, marks }: Target,
  key: string,
  multipartId: string,
  page: <T>(attempt: () => Promise<T>) => Promise<T>,
): Promise<Part[] | null> {
  const latest = new Map<number, ListedPart>()
  for (let marker: string | undefined; ; ) {
    const command = new ListPartsCommand({
      Bucket: bucket,
      Key: key,
      UploadId: multipartId,
      PartNumberMarker: marker,
      ...marks.customer,
    })
    const answer = await page(() => expecting(client.send(command), { NoSuchUpload: null }))
    if (answer === null) return null
    for (const part of answer.Parts ?? []) keepLatest(latest, part)
    if (!answer.IsTruncated) break
    if (answer.NextPartNumberMarker === undefined || answer.NextPartNumberMarker === marker) {
      throw unexpected('a truncated ListParts without a marker').toUploadError('ListParts')
    }
    marker = answer.NextPartNumberMarker
  }
  return [...latest.entries()]
    .sort(([a], [b]) => a - b)
    .map(([number, part]) => ({
      number,
      bytes: part.Size ?? 0,
      etag: quotedEtag(part.ETag),
      crc32: parseCrc32Base64(part.ChecksumCRC32),
    }))
}

/**
 * SeaweedFS lists a part that was sent twice twice, in no order. The latest counts; its times are whole seconds, so
 * within one second it may be either (its Complete takes either, too: the caller's own record says which).
 */
function keepLatest(latest: Map<number, ListedPart>, part: ListedPart): void {
  if (part.PartNumber === undefined) return
  const known = latest.get(part.PartNumber)?.LastModified?.getTime() ?? Number.NEGATIVE_INFINITY
  if ((part.LastModified?.getTime() ?? 0) >= known) latest.set(part.PartNumber, part)
}

/** One try of UploadPartCopy; null: no such multipart upload. */
export async function copyPart(
  { client, bucket, marks }: Target,
  key: string,
  multipartId: string,
  number: number,
  source: { readonly key: string; readonly range: ByteRange },
  abortSignal: AbortSignal | undefined,
): Promise<Part | null> {
  const { first, last } = source.range
  const command = new UploadPartCopyCommand({
    Bucket: bucket,
    Key: key,
    UploadId: multipartId,
    PartNumber: number,
    CopySource: `${bucket}/${encodeKey(source.key)}`,
    CopySourceRange: `bytes=${first}-${last}`,
    ...marks.customer,
    ...marks.copySource,
  })
  const answer = await expecting(client.send(command, abortSignal ? { abortSignal } : {}), { NoSuchUpload: null })
  if (answer === null) return null
  const { ETag, ChecksumCRC32 } = answer.CopyPartResult ?? {}
  if (ETag === undefined) throw unexpected('a copy without an ETag')
  return { number, bytes: last - first + 1, etag: quotedEtag(ETag), crc32: parseCrc32Base64(ChecksumCRC32) }
}

/** One page of a listing. */
export async function listPage(
  { client, bucket }: Target,
  prefix: string,
  token: string | undefined,
): Promise<{ objects: StoredObject[]; next: string | undefined }> {
  const command = new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token })
  const answer: ListObjectsV2CommandOutput = await client.send(command)
  const objects: StoredObject[] = []
  for (const { Key, Size, ETag } of answer.Contents ?? []) {
    if (Key !== undefined) objects.push({ key: Key, bytes: Size ?? 0, etag: quotedEtag(ETag) })
  }
  return { objects, next: answer.IsTruncated ? answer.NextContinuationToken : undefined }
}

/** One DeleteObjects of at most 1000 keys. Throws the first failure of a key; those that were never there are none. */
export async function removeBatch({ client, bucket }: Target, keys: readonly string[]): Promise<void> {
  const Objects = keys.map((Key) => ({ Key }))
  const answer = await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } }))
  const failed = answer.Errors?.find(({ Code }) => Code !== 'NoSuchKey')
  if (!failed) return
  const message = `${failed.Key}: ${failed.Message ?? 'not deleted'}`
  throw new S3Failure({ status: 200, code: failed.Code ?? 'InternalError', message, sent: true })
}
