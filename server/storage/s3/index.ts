export { BucketMissing } from './bucket.ts'
export type { S3Credentials, S3Options } from './options.ts'
export { S3ByteStore } from './store.ts'
