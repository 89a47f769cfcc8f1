/** The S3 operations that the proxy tells apart; anything else is `Other`. */
export type S3Operation =
  | 'PutObject'
  | 'CopyObject'
  | 'GetObject'
  | 'HeadObject'
  | 'DeleteObject'
  | 'DeleteObjects'
  | 'CreateMultipartUpload'
  | 'UploadPart'
  | 'UploadPartCopy'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload'
  | 'ListParts'
  | 'ListMultipartUploads'
  | 'ListObjectsV2'
  | 'HeadBucket'
  | 'CreateBucket'
  | 'DeleteBucket'
  | 'Other'

/** What an S3 request asks for, read from its method and path-style URL. */
export interface Classified {
  readonly operation: S3Operation
  readonly bucket: string
  readonly key: string
  readonly partNumber: number | undefined
  readonly multipartId: string | undefined
  /** What a listing is limited to. */
  readonly prefix: string
}

function onObject(method: string, query: URLSearchParams, copies: boolean): S3Operation {
  const inMultipart = query.has('uploadId')
  switch (method) {
    case 'PUT':
      if (inMultipart) return copies ? 'UploadPartCopy' : 'UploadPart'
      return copies ? 'CopyObject' : 'PutObject'
    case 'POST':
      if (inMultipart) return 'CompleteMultipartUpload'
      return query.has('uploads') ? 'CreateMultipartUpload' : 'Other'
    case 'DELETE':
      return inMultipart ? 'AbortMultipartUpload' : 'DeleteObject'
    case 'GET':
      return inMultipart ? 'ListParts' : 'GetObject'
    case 'HEAD':
      return 'HeadObject'
    default:
      return 'Other'
  }
}

/** Sub-resources such as `?versioning` are `Other`. */
const PLAIN_BUCKET = new Set(['x-id'])

function onBucket(method: string, query: URLSearchParams): S3Operation {
  if (method === 'POST' && query.has('delete')) return 'DeleteObjects'
  if (method === 'GET' && query.has('uploads')) return 'ListMultipartUploads'
  if (method === 'GET' && query.get('list-type') === '2') return 'ListObjectsV2'
  if ([...query.keys()].some((key) => !PLAIN_BUCKET.has(key))) return 'Other'
  const plain: Readonly<Record<string, S3Operation>> = {
    HEAD: 'HeadBucket',
    PUT: 'CreateBucket',
    DELETE: 'DeleteBucket',
  }
  return plain[method] ?? 'Other'
}

/** Tells S3 operations apart by method, path-style URL and whether a copy source is named. */
export function classify(method: string, url: string, copies = false): Classified {
  const { pathname, searchParams } = new URL(url, 'http://store')
  const [, bucket = '', ...rest] = pathname.split('/')
  const key = decodeURIComponent(rest.join('/'))
  const part = searchParams.get('partNumber')
  return {
    operation: key === '' ? onBucket(method, searchParams) : onObject(method, searchParams, copies),
    bucket,
    key,
    partNumber: part === null ? undefined : Number(part),
    multipartId: searchParams.get('uploadId') ?? undefined,
    prefix: searchParams.get('prefix') ?? '',
  }
}
