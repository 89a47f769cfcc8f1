import type { StoreChoice, Stores } from '../../uploads/ports/byte-store.ts'
import { S3Connections } from './connections.ts'
import type { S3Options } from './options.ts'
import { s3Settings } from './options.ts'
import { S3ByteStore } from './store.ts'

/** Stores that are kept at hand; one more is made again in no time. */
const MOST_KEPT = 1000
const TENANT = '{tenant}'

/**
 * The store of each upload: its tenant's name is put into the tags. All of them share one set of connections.
 */
export class S3Stores implements Stores {
  /** For what concerns no upload. */
  readonly house: S3ByteStore
  readonly #options: S3Options
  readonly #connections: S3Connections
  readonly #perTenant: boolean
  readonly #kept = new Map<string, S3ByteStore>()

  constructor(options: S3Options) {
    this.#options = options
    this.#connections = new S3Connections(s3Settings(options))
    this.#perTenant = Object.values(options.marks?.tags ?? {}).some((value) => value.includes(TENANT))
    this.house = new S3ByteStore(options, this.#connections)
  }

  of({ tenant }: StoreChoice): S3ByteStore {
    if (!this.#perTenant) return this.house
    const known = this.#kept.get(tenant)
    if (known) return known
    const made = this.#make(tenant)
    const oldest = this.#kept.size < MOST_KEPT ? undefined : this.#kept.keys().next().value
    if (oldest !== undefined) this.#kept.delete(oldest)
    this.#kept.set(tenant, made)
    return made
  }

  #make(tenant: string): S3ByteStore {
    const { marks } = this.#options
    if (!marks) return this.house
    const tags = Object.entries(marks.tags).map(([name, value]) => [name, value.replaceAll(TENANT, tenant)])
    return new S3ByteStore({ ...this.#options, marks: { ...marks, tags: Object.fromEntries(tags) } }, this.#connections)
  }
}
