/**
 * `@tus/server` with `@tus/s3-store`, or with `@tus/file-store` when DATA_DIR is given, as their documentation shows
 * them, behind the address and the variables of the service: what PEERS_TARGET=plain starts.
 */
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { FileStore } from '@tus/file-store'
import { S3Store } from '@tus/s3-store'
import { Server } from '@tus/server'

const { env } = process
const seconds = Number.parseInt(env.UPLOAD_EXPIRES_AFTER ?? '0', 10)
const expirationPeriodInMilliseconds = seconds * 1000
/** As the stores' documentation advises where uploads expire. */
const CLEAN_UP_MS = 1000

function store(): FileStore | S3Store {
  if (env.DATA_DIR) return new FileStore({ directory: env.DATA_DIR, expirationPeriodInMilliseconds })
  const credentials = { accessKeyId: env.S3_ACCESS_KEY_ID ?? '', secretAccessKey: env.S3_SECRET_ACCESS_KEY ?? '' }
  return new S3Store({
    expirationPeriodInMilliseconds,
    // Not every store of the tests has tags on objects.
    useTags: false,
    s3ClientConfig: {
      bucket: env.S3_BUCKET ?? '',
      region: env.S3_REGION ?? '',
      endpoint: env.S3_ENDPOINT ?? '',
      forcePathStyle: true,
      credentials,
    },
  })
}

const tus = new Server({
  path: '/api/v1/uploads',
  datastore: store(),
  ...(env.MAX_FILE_SIZE ? { maxSize: Number(env.MAX_FILE_SIZE) } : {}),
  // How an application hears of a finished upload.
  onUploadFinish: async (_, { id }) => {
    if (env.FINISHED_FILE) appendFileSync(env.FINISHED_FILE, `${id}\n`)
    return {}
  },
})

if (seconds > 0) {
  setInterval(() => {
    tus.cleanUpExpiredUploads().catch((error) => console.error(error))
  }, CLEAN_UP_MS)
}
const server = createServer({ requestTimeout: 0 }, (req, res) => {
  if (req.url === '/readyz') return void res.end()
  tus.handle(req, res).catch(() => req.destroy())
})
server.listen(Number(env.PORT), '127.0.0.1')
