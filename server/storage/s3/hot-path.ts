import { crc32Base64 } from '../../uploads/crc32.ts'
import type { Piece } from '../../uploads/ports/byte-store.ts'
import type { CredentialSource } from './client.ts'
import { S3Failure } from './failure.ts'
import type { Marks } from './marks.ts'
import { amzDate, encodeKey, encodeStrict, Signer, UNSIGNED_PAYLOAD } from './sign.ts'
import { Wire, type WireAnswer, type WireOptions } from './wire.ts'

export interface HotPathOptions extends WireOptions {
  readonly region: string
  readonly credentials: CredentialSource
  readonly marks: Marks
}

/** What one try may need besides key and body. */
export interface PutTry {
  readonly contentType?: string | undefined
  /** A tail: no class and no tags. */
  readonly shortLived?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** PutObject and UploadPart without the SDK. Each call is one try; throws {@link S3Failure}. Returns the ETag. */
export class HotPath {
  readonly #wire: Wire
  readonly #signer: Signer
  readonly #credentials: CredentialSource
  readonly #marks: Marks
  readonly #host: string
  /** Path of the bucket, `/bucket` or empty. */
  readonly #base: string
  /** The store's clock minus ours, learnt when it refused ours. */
  #clockOffsetMs = 0

  constructor(options: HotPathOptions) {
    this.#wire = new Wire(options)
    this.#signer = new Signer(options.region)
    this.#credentials = options.credentials
    this.#marks = options.marks
    this.#host = options.url.host
    this.#base = options.url.pathname.replace(/\/$/, '')
  }

  putObject(key: string, piece: Piece, attempt: PutTry): Promise<string> {
    return this.#put(key, '', piece, attempt.shortLived ? this.#marks.tail : this.#marks.object, attempt)
  }

  uploadPart(key: string, multipartId: string, number: number, piece: Piece, attempt: PutTry): Promise<string> {
    const query = `partNumber=${number}&uploadId=${encodeStrict(multipartId)}`
    return this.#put(key, query, piece, this.#marks.part, attempt)
  }

  async #put(
    key: string,
    query: string,
    piece: Piece,
    marks: readonly string[],
    { contentType, signal }: PutTry,
  ): Promise<string> {
    const keys = this.#credentials.current() ?? (await this.#credentials.renew())
    const path = `${this.#base}/${encodeKey(key)}`
    const date = amzDate(Date.now() + this.#clockOffsetMs)
    const headers = contentType === undefined ? [] : ['content-type', contentType.trim()]
    headers.push('host', this.#host, 'x-amz-checksum-crc32', crc32Base64(piece.crc32))
    headers.push('x-amz-content-sha256', UNSIGNED_PAYLOAD, 'x-amz-date', date)
    if (keys.sessionToken !== undefined) headers.push('x-amz-security-token', keys.sessionToken)
    headers.push(...marks)
    const signed = { method: 'PUT', path, query, headers, payloadHash: UNSIGNED_PAYLOAD }
    const authorization = this.#signer.sign(keys, date, signed)
    headers.push('authorization', authorization, 'content-length', String(piece.body.length))
    const target = query === '' ? path : `${path}?${query}`
    return this.#etag(await this.#wire.put({ path: target, headers, body: piece.body, signal }), piece)
  }

  #etag(answer: WireAnswer, piece: Piece): string {
    const { status, headers } = answer
    const stored = headers['x-amz-checksum-crc32']
    const { etag } = headers
    if (status === 200 && etag && (stored === undefined || stored === crc32Base64(piece.crc32))) return etag
    const requestId = headers['x-amz-request-id']
    const code = xmlText(answer.body, 'Code') ?? (status === 200 ? 'UnexpectedAnswer' : 'Unknown')
    const message = xmlText(answer.body, 'Message') ?? `ETag ${etag}, CRC-32 ${stored}`
    if (code === 'ExpiredToken') this.#credentials.forget()
    if (code === 'RequestTimeTooSkewed' && headers.date) this.#clockOffsetMs = Date.parse(headers.date) - Date.now()
    throw new S3Failure({
      status,
      code,
      message,
      requestId: typeof requestId === 'string' ? requestId : undefined,
      sent: true,
    })
  }
}

/** The text of the first such element: S3's error documents are flat. */
function xmlText(xml: string, element: string): string | undefined {
  return new RegExp(`<${element}>([^<]*)</${element}>`).exec(xml)?.[1]
}
