import { ListMultipartUploadsCommand, ListObjectsV2Command, type ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import type { ListedMultipart, ListedObject } from '../../uploads/ports/housekeeping.ts'
import type { Target } from './calls.ts'
import { withRetries } from './retry.ts'

/** Objects with their times, in the order of their keys, from `after` on. */
export async function* listObjects(
  { client, bucket }: Target,
  prefix: string,
  after: string,
): AsyncGenerator<ListedObject> {
  let token: string | undefined
  do {
    const page: ListObjectsV2CommandOutput = await withRetries(`ListObjectsV2 ${prefix}`, () =>
      client.send(
        new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: prefix,
          ...(after === '' ? {} : { StartAfter: after }),
          ContinuationToken: token,
        }),
      ),
    )
    for (const { Key, Size, LastModified } of page.Contents ?? []) {
      // Some stores take no notice of StartAfter on later pages.
      if (Key !== undefined && LastModified && Key > after) {
        yield { key: Key, bytes: Size ?? 0, modifiedAt: LastModified.getTime() }
      }
    }
    token = page.IsTruncated ? page.NextContinuationToken : undefined
  } while (token !== undefined)
}

/** Open multipart uploads, all pages. */
export async function* listMultiparts({ client, bucket }: Target, prefix: string): AsyncGenerator<ListedMultipart> {
  let marker: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } = {}
  for (;;) {
    const command = new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix, ...marker })
    const page = await withRetries(`ListMultipartUploads ${prefix}`, () => client.send(command))
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key?.startsWith(prefix) && UploadId !== undefined && Initiated) {
        yield { key: Key, multipartId: UploadId, startedAt: Initiated.getTime() }
      }
    }
    if (!page.IsTruncated || page.NextKeyMarker === undefined) return
    marker = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
  }
}
