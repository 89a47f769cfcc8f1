/** `@tus/server` with `@tus/s3-store` as their documentation shows them. */
import { createServer } from 'node:http'
import { S3Store } from '@tus/s3-store'
import { Server } from '@tus/server'
import { storeFromEnvironment } from './store.ts'

const { endpoint, region, bucket, accessKeyId, secretAccessKey } = storeFromEnvironment()
const datastore = new S3Store({
  s3ClientConfig: { bucket, region, endpoint, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } },
})
const tus = new Server({ path: '/files', datastore })

const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, (req, res) => {
  if (req.url === '/readyz') return void res.end()
  tus.handle(req, res).catch(() => req.destroy())
})
server.listen(Number(process.env.PORT), '127.0.0.1')
process.on('SIGTERM', () => process.exit(0))
