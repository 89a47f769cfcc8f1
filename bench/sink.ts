/**
 * A store that throws bytes away: as much S3 as the measured servers speak, in a process of its own so that its CPU is
 * nobody's. Only what a server reads back (tails, `.info`, `.part`) is kept; with FORGET=1 not even that: then zeros are
 * read back, as many as were stored. It counts the requests of each bucket. `GET /-/counts` tells; port from PORT.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { classify, type S3Operation } from '../test/support/s3-operations.ts'
import { unframe } from './aws-chunked.ts'

/** What one server asked of the store. */
export interface BucketCounts {
  requests: Partial<Record<S3Operation, number>>
  /** Bytes of request bodies, as they were framed. */
  bytesIn: number
  /** Bytes of objects that were read back. */
  bytesOut: number
  /** Requests whose answer is not sent yet. */
  open: number
}

interface StoredObject {
  readonly bytes: number
  readonly body: Buffer | null
  readonly meta: Readonly<Record<string, string>>
}

const READ_BACK = /\.(info|part)$|-tails\//
const FORGETS = process.env.FORGET === '1'
const PAGE = 1000

const counts = new Map<string, BucketCounts>()
const objects = new Map<string, Map<string, StoredObject>>()
const multiparts = new Map<string, Map<number, number>>()
let lastId = 0

function entry<V>(map: Map<string, V>, key: string, make: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

const countsOf = (bucket: string): BucketCounts =>
  entry(counts, bucket, () => ({ requests: {}, bytesIn: 0, bytesOut: 0, open: 0 }))
const objectsOf = (bucket: string): Map<string, StoredObject> => entry(objects, bucket, () => new Map())

function answer(
  res: ServerResponse,
  status: number,
  body: string | Buffer = '',
  headers: Record<string, string> = {},
): void {
  res.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers }).end(body)
}

const xml = (res: ServerResponse, body: string): void =>
  answer(res, 200, `<?xml version="1.0" encoding="UTF-8"?>\n${body}`, { 'content-type': 'application/xml' })

const refuse = (res: ServerResponse, status: number, code: string): void =>
  answer(res, status, `<Error><Code>${code}</Code><Message>${code}</Message></Error>`, {
    'content-type': 'application/xml',
  })

/** Reads a body; its bytes only where they are wanted. */
async function receive(
  req: IncomingMessage,
  bucket: BucketCounts,
  keep: boolean,
): Promise<{ bytes: number; body: Buffer | null }> {
  const chunks: Buffer[] = []
  let bytes = 0
  await new Promise<void>((resolve, reject) => {
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (keep) chunks.push(chunk)
    })
    req.on('end', resolve)
    req.on('close', () => reject(new Error('cut')))
  })
  bucket.bytesIn += bytes
  const decoded = req.headers['x-amz-decoded-content-length']
  if (!keep) return { bytes: decoded === undefined ? bytes : Number(decoded), body: null }
  const body = decoded === undefined ? Buffer.concat(chunks) : unframe(Buffer.concat(chunks))
  return { bytes: body.length, body }
}

function metaOf(req: IncomingMessage): Record<string, string> {
  const pairs = Object.entries(req.headers).filter(([name]) => name.startsWith('x-amz-meta-'))
  return Object.fromEntries(pairs.map(([name, value]) => [name, String(value)]))
}

function list(res: ServerResponse, bucket: string, query: URLSearchParams): void {
  const prefix = query.get('prefix') ?? ''
  const after = query.get('continuation-token') ?? ''
  const found = [...objectsOf(bucket)].filter(([key]) => key.startsWith(prefix) && key > after)
  const keys = found.sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, PAGE)
  const more = found.length > PAGE
  const contents = keys.map(
    ([key, { bytes }]) => `<Contents><Key>${key}</Key><Size>${bytes}</Size><ETag>"e"</ETag></Contents>`,
  )
  const next = more ? `<NextContinuationToken>${keys.at(-1)?.[0]}</NextContinuationToken>` : ''
  xml(res, `<ListBucketResult><IsTruncated>${more}</IsTruncated>${contents.join('')}${next}</ListBucketResult>`)
}

function listParts(res: ServerResponse, parts: Map<number, number>): void {
  const listed = [...parts].map(
    ([n, bytes]) => `<Part><PartNumber>${n}</PartNumber><Size>${bytes}</Size><ETag>"${n}"</ETag></Part>`,
  )
  xml(res, `<ListPartsResult><IsTruncated>false</IsTruncated>${listed.join('')}</ListPartsResult>`)
}

async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = req.url ?? '/'
  const copies = req.headers['x-amz-copy-source'] !== undefined
  const { operation, bucket, key, partNumber, multipartId } = classify(req.method ?? '', url, copies)
  const count = countsOf(bucket)
  count.requests[operation] = (count.requests[operation] ?? 0) + 1
  count.open++
  res.once('close', () => {
    count.open--
  })
  const isObject = operation === 'PutObject'
  const wanted = operation === 'DeleteObjects' || (isObject && !FORGETS && READ_BACK.test(key))
  const { bytes, body } = await receive(req, count, wanted)
  const known = objectsOf(bucket)
  const parts = multipartId === undefined ? undefined : multiparts.get(multipartId)
  if (multipartId !== undefined && parts === undefined) return refuse(res, 404, 'NoSuchUpload')
  switch (operation) {
    case 'PutObject':
      known.set(key, { bytes, body, meta: metaOf(req) })
      return answer(res, 200, '', { etag: '"e"' })
    case 'UploadPart':
      parts?.set(partNumber ?? 0, bytes)
      return answer(res, 200, '', { etag: `"${partNumber}"` })
    case 'UploadPartCopy': {
      const [, first = 0, last = 0] = /bytes=(\d+)-(\d+)/.exec(String(req.headers['x-amz-copy-source-range'])) ?? []
      parts?.set(partNumber ?? 0, Number(last) - Number(first) + 1)
      return xml(res, `<CopyPartResult><ETag>"${partNumber}"</ETag></CopyPartResult>`)
    }
    case 'CreateMultipartUpload': {
      const id = `m${++lastId}`
      multiparts.set(id, new Map())
      return xml(res, `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`)
    }
    case 'CompleteMultipartUpload': {
      const whole = [...(parts?.values() ?? [])].reduce((sum, one) => sum + one, 0)
      known.set(key, { bytes: whole, body: null, meta: {} })
      multiparts.delete(multipartId ?? '')
      return xml(res, `<CompleteMultipartUploadResult><ETag>"e-1"</ETag></CompleteMultipartUploadResult>`)
    }
    case 'AbortMultipartUpload':
      multiparts.delete(multipartId ?? '')
      return answer(res, 204)
    case 'ListParts':
      return listParts(res, parts ?? new Map())
    case 'GetObject':
    case 'HeadObject': {
      const object = known.get(key)
      if (object === undefined) return operation === 'HeadObject' ? answer(res, 404) : refuse(res, 404, 'NoSuchKey')
      const headers = { ...object.meta, etag: '"e"', 'content-length': String(object.bytes) }
      if (operation === 'HeadObject') return void res.writeHead(200, headers).end()
      const content = object.body ?? (FORGETS ? Buffer.alloc(object.bytes) : null)
      if (content === null) return refuse(res, 501, 'NotImplemented')
      count.bytesOut += object.bytes
      return void res.writeHead(200, headers).end(content)
    }
    case 'DeleteObject':
      known.delete(key)
      return answer(res, 204)
    case 'DeleteObjects':
      for (const [, one = ''] of (body ?? '').toString().matchAll(/<Key>([^<]*)<\/Key>/g)) known.delete(one)
      return xml(res, '<DeleteResult></DeleteResult>')
    case 'ListObjectsV2':
      return list(res, bucket, new URL(url, 'http://store').searchParams)
    case 'ListMultipartUploads':
      return xml(res, '<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>')
    case 'HeadBucket':
    case 'CreateBucket':
      return answer(res, 200)
    case 'DeleteBucket':
      objects.delete(bucket)
      return answer(res, 204)
    default:
      return refuse(res, 501, 'NotImplemented')
  }
}

const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 }, (req, res) => {
  if (req.url === '/readyz') return answer(res, 200)
  if (req.url === '/-/counts') return answer(res, 200, JSON.stringify(Object.fromEntries(counts)))
  handle(req, res).catch(() => req.destroy())
})
server.listen(Number(process.env.PORT), '127.0.0.1')
process.on('SIGTERM', () => process.exit(0))
