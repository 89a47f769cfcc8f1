import type { LinkOptions } from '../../uploads/ports/byte-store.ts'
import type { CredentialSource } from './client.ts'
import { amzDate, encodeKey, Signer } from './sign.ts'

/** Presigned URLs: whoever has one may GET the object until it expires. Nothing is asked of the store for one. */
export class Links {
  readonly #url: URL
  readonly #signer: Signer
  readonly #credentials: CredentialSource

  /** `url`: where the bucket's objects are, as clients see it. */
  constructor(url: URL, region: string, credentials: CredentialSource) {
    this.#url = url
    this.#signer = new Signer(region)
    this.#credentials = credentials
  }

  /** A link ends with the keys that signed it, where those are temporary. */
  async to(key: string, { expiresMs, contentType, contentDisposition }: LinkOptions): Promise<string> {
    const keys = this.#credentials.current() ?? (await this.#credentials.renew())
    const path = `${this.#url.pathname.replace(/\/$/, '')}/${encodeKey(key)}`
    const query = this.#signer.presign(keys, amzDate(Date.now()), {
      host: this.#url.host,
      path,
      seconds: Math.max(1, Math.floor(expiresMs / 1000)),
      query: [
        ...['response-cache-control', 'private, no-cache'],
        ...['response-content-disposition', contentDisposition],
        ...['response-content-type', contentType],
      ],
    })
    return `${this.#url.origin}${path}?${query}`
  }
}
