import type { Config, S3Config, S3EncryptionConfig } from './config/config.ts'
import type { OpenStore } from './drivers.ts'
import type { Log } from './observability/log.ts'
import {
  type BucketFinding,
  BucketUnfit,
  type S3ByteStore,
  S3Stores,
  type StoreEncryption,
} from './storage/s3/index.ts'

/** The S3 store that the configuration describes; it may be away. */
export function openS3(s3: S3Config, config: Config, log: Pick<Log, 'bucket'>): OpenStore {
  const { uploads } = config
  const stores = new S3Stores({
    region: s3.region,
    bucket: s3.bucket,
    forcePathStyle: s3.forcePathStyle,
    equalParts: s3.equalParts,
    requestTimeoutMs: s3.requestTimeoutMs,
    readHighWaterMark: uploads.streamBufferBytes,
    // One more for an urgent write (WriteGate).
    maxSockets: uploads.maxConcurrentWrites + 1,
    createBuckets: s3.createBucket,
    onBucket: (bucket) => void look(bucket, s3, config, log),
    marks: { encryption: encryptionOf(s3.encryption), storageClass: s3.storageClass, tags: s3.tags },
    ...(s3.endpoint === null ? {} : { endpoint: s3.endpoint }),
    ...(s3.publicEndpoint === null ? {} : { publicEndpoint: s3.publicEndpoint }),
    ...(s3.credentials === null ? {} : { credentials: fixed(s3.credentials) }),
  })
  const { house: store } = stores
  return {
    store,
    stores,
    places: (buckets) => stores.inBuckets(buckets).map((each) => ({ store: each, inventory: each })),
    linkSource: config.server.downloads === 'redirect' ? stores.linkSource() : null,
    async ready() {
      // Which buckets there will be, only tenants know: each is looked at when it is first used.
      if (stores.perTenant) return store.ping()
      await store.ensureBucket(s3.createBucket)
      await check(store, s3, config, log)
    },
  }
}

/** The same while uploads go on: it only says, and a bucket that is not there or does not answer is for others to tell. */
async function look(store: S3ByteStore, s3: S3Config, config: Config, log: Pick<Log, 'bucket'>): Promise<void> {
  await check(store, { ...s3, bucketChecks: s3.bucketChecks === 'off' ? 'off' : 'warn' }, config, log).catch(() => {})
}

/** Says what the bucket's own configuration does to uploads. Throws {@link BucketUnfit} when they would lose bytes. */
async function check(store: S3ByteStore, s3: S3Config, config: Config, log: Pick<Log, 'bucket'>): Promise<void> {
  if (s3.bucketChecks === 'off') return
  const { keys, uploads } = config
  const findings = await store.check({
    objects: [`${keys.prefix}/`],
    tails: `${keys.tailPrefix}/`,
    expiresAfterMs: uploads.expiresAfterMs,
    tags: s3.tags,
  })
  const refused = (finding: BucketFinding) => finding.kind === 'danger' && s3.bucketChecks === 'refuse'
  for (const { kind, message } of findings.filter((finding) => !refused(finding))) {
    log.bucket({ bucket: store.bucket, kind }, message)
  }
  const dangers = findings.filter(refused)
  if (dangers.length > 0) throw new BucketUnfit(store.bucket, dangers)
}

function fixed({ accessKeyId, secretAccessKey, sessionToken }: NonNullable<S3Config['credentials']>) {
  return { accessKeyId, secretAccessKey, ...(sessionToken === null ? {} : { sessionToken }) }
}

function encryptionOf(encryption: S3EncryptionConfig): StoreEncryption {
  return encryption.kind === 'customer' ? { kind: 'customer', key: Buffer.from(encryption.key, 'base64') } : encryption
}
