import type { Agent } from 'node:http'
import { bucketUrl, CredentialSource, type S3Clients, s3Clients } from './client.ts'
import { HotPath } from './hot-path.ts'
import { Links } from './links.ts'
import type { Marks } from './marks.ts'
import type { S3Settings } from './options.ts'
import { wireAgent } from './wire.ts'

/** What all buckets of one store share: sockets, SDK clients, credentials. */
export class S3Connections {
  readonly clients: S3Clients
  readonly #settings: S3Settings
  readonly #credentials: CredentialSource
  readonly #agent: Agent

  constructor(settings: S3Settings) {
    this.#settings = settings
    this.clients = s3Clients(settings)
    const { control } = this.clients
    this.#credentials = new CredentialSource((options) => control.config.credentials(options))
    this.#agent = wireAgent(bucketUrl(control, settings, settings.bucket), settings.maxSockets)
  }

  /** PutObject and UploadPart into this bucket. */
  hotPath(bucket: string, marks: Marks): HotPath {
    const url = bucketUrl(this.clients.control, this.#settings, bucket)
    return new HotPath({ ...this.#settings, url, agent: this.#agent, credentials: this.#credentials, marks })
  }

  /** Links to objects of this bucket, by the address that clients reach the store by. */
  links(bucket: string): Links {
    return new Links(this.publicUrl(bucket), this.#settings.region, this.#credentials)
  }

  /** Where clients find the bucket's objects. */
  publicUrl(bucket: string): URL {
    const { publicEndpoint } = this.#settings
    const settings = publicEndpoint === undefined ? this.#settings : { ...this.#settings, endpoint: publicEndpoint }
    return bucketUrl(this.clients.control, settings, bucket)
  }

  close(): void {
    this.#agent.destroy()
    this.clients.control.destroy()
    this.clients.patient.destroy()
    this.clients.reads.destroy()
  }
}
