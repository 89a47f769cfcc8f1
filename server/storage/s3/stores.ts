import type { StoreChoice, Stores } from '../../uploads/ports/byte-store.ts'
import { bucketOf, isPerTenant } from './bucket-name.ts'
import { S3Connections } from './connections.ts'
import { type S3Options, s3Settings } from './options.ts'
import { S3ByteStore } from './store.ts'

/** Stores that are kept at hand; one more is made again in no time. */
const MOST_KEPT = 1000
const TENANT = '{tenant}'
/** Stands for all tenants where only one question is asked of the store. */
const SOMEBODY = 'default'

/** Where {@link S3Stores} differs from one store. */
export interface StoresOptions extends S3Options {
  /** May hold `{tenant}`: then every tenant has a bucket of its own. */
  readonly bucket: string
  /** A tenant's bucket that is not there is created when it is first needed. */
  readonly createBuckets?: boolean
  /** Told of every bucket that is used for the first time, but for the house's. */
  readonly onBucket?: (store: S3ByteStore) => void
}

/**
 * The store of each upload. The bucket is the one that its row names; for a new one, its tenant's. All of them share one
 * set of connections.
 */
export class S3Stores implements Stores {
  /** For what concerns no upload. */
  readonly house: S3ByteStore
  /** Every tenant has a bucket of its own. */
  readonly perTenant: boolean
  readonly #options: StoresOptions
  readonly #connections: S3Connections
  readonly #tenantInTags: boolean
  readonly #kept = new Map<string, S3ByteStore>()
  readonly #seen = new Set<string>()

  constructor(options: StoresOptions) {
    this.#options = options
    this.perTenant = isPerTenant(options.bucket)
    const house = { ...this.#optionsOf(bucketOf(options.bucket, SOMEBODY), SOMEBODY), anyBucket: this.perTenant }
    this.#connections = new S3Connections(s3Settings(house))
    this.#tenantInTags = Object.values(options.marks?.tags ?? {}).some((value) => value.includes(TENANT))
    this.house = new S3ByteStore(house, this.#connections)
    this.#seen.add(this.perTenant ? '' : this.house.bucket)
  }

  /** Throws `store_unavailable` when the tenant's bucket would have a name that S3 does not take. */
  of({ tenant, bucket }: StoreChoice): S3ByteStore {
    const name = bucket ?? bucketOf(this.#options.bucket, tenant)
    if (!this.perTenant && !this.#tenantInTags && name === this.house.bucket) return this.house
    const place = this.#tenantInTags ? `${name} ${tenant}` : name
    const known = this.#kept.get(place)
    if (known) return known
    const made = this.#make(name, tenant)
    const oldest = this.#kept.size < MOST_KEPT ? undefined : this.#kept.keys().next().value
    if (oldest !== undefined) this.#kept.delete(oldest)
    this.#kept.set(place, made)
    if (!this.#seen.has(name)) {
      this.#seen.add(name)
      this.#options.onBucket?.(made)
    }
    return made
  }

  /** What links begin with, as a source in a Content-Security-Policy: `https://*.s3.example.com` for a bucket a tenant. */
  linkSource(): string {
    const { origin } = this.#connections.publicUrl(this.house.bucket)
    return this.perTenant ? origin.replace(`//${this.house.bucket}.`, '//*.') : origin
  }

  /** The stores of these buckets, and of the one that all tenants share now. */
  inBuckets(buckets: readonly string[]): S3ByteStore[] {
    const names = new Set([...(this.perTenant ? [] : [this.house.bucket]), ...buckets])
    return [...names].map((name) =>
      name === this.house.bucket && !this.perTenant ? this.house : this.#make(name, SOMEBODY),
    )
  }

  #make(bucket: string, tenant: string): S3ByteStore {
    return new S3ByteStore(this.#optionsOf(bucket, tenant), this.#connections)
  }

  #optionsOf(bucket: string, tenant: string): S3Options {
    const { marks, createBuckets = false, ...options } = this.#options
    const tags = Object.entries(marks?.tags ?? {}).map(([name, value]) => [name, value.replaceAll(TENANT, tenant)])
    return {
      ...options,
      bucket,
      createWhenNeeded: createBuckets && this.perTenant,
      ...(marks ? { marks: { ...marks, tags: Object.fromEntries(tags) } } : {}),
    }
  }
}
