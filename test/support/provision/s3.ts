import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import type { TestS3 } from '../services.ts'
import { startDaemon } from './daemon.ts'
import { versitygwProgram, weedProgram } from './install.ts'
import { freePorts } from './ports.ts'
import type { Started, StartOptions } from './types.ts'

const CREDENTIALS = { accessKeyId: 'test-access', secretAccessKey: 'test-secret' }
const REGION = 'us-east-1'

/** Ready means that a bucket and an object can be written: SeaweedFS answers well before its volumes are there. */
async function writeOnce(s3: TestS3): Promise<void> {
  const client = new S3Client({
    endpoint: s3.endpoint,
    region: s3.region,
    credentials: { ...CREDENTIALS },
    forcePathStyle: true,
    maxAttempts: 1,
  })
  const Bucket = 'ready-probe'
  try {
    await client.send(new CreateBucketCommand({ Bucket })).catch((error: Error) => {
      if (!error.name.startsWith('BucketAlready')) throw error
    })
    await client.send(new PutObjectCommand({ Bucket, Key: 'probe', Body: 'x' }))
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'probe' }))
    await client.send(new DeleteBucketCommand({ Bucket }))
  } finally {
    client.destroy()
  }
}

function described(name: TestS3['name'], port: number): TestS3 {
  return { name, endpoint: `http://127.0.0.1:${port}`, region: REGION, ...CREDENTIALS }
}

/** Starts SeaweedFS in one process; undefined when it cannot be had. */
export async function startSeaweedfs({ dir, report }: StartOptions): Promise<Started<TestS3> | undefined> {
  const command = await weedProgram(report)
  if (command === undefined) return undefined
  const data = join(dir, 'seaweedfs')
  await mkdir(data, { recursive: true })
  const listeners = ['s3', 's3.grpc', 's3.iceberg', 's3.lance', 'master', 'master.grpc', 'volume', 'volume.grpc']
  listeners.push('filer', 'filer.grpc', 'admin', 'admin.grpc')
  const ports = await freePorts(listeners.length)
  const flags = listeners.map((name, index) => {
    const [part = '', kind] = name.split('.')
    return `-${part}.port${kind === undefined ? '' : `.${kind}`}=${ports[index]}`
  })
  const [port = 0] = ports
  const s3 = described('seaweedfs', port)
  const daemon = await startDaemon({
    name: 'seaweedfs',
    command,
    args: ['mini', `-dir=${data}`, '-ip=127.0.0.1', '-ip.bind=127.0.0.1', '-admin.ui=false', '-webdav=false', ...flags],
    env: { AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId, AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey },
    cwd: data,
    logFile: join(dir, 'seaweedfs.log'),
    probe: () => writeOnce(s3),
    readyTimeoutMs: 60_000,
  })
  return { value: s3, stop: daemon.stop }
}

/** Starts versitygw, the store with the strict protocol checks; undefined when it cannot be had. */
export async function startVersitygw({ dir, report }: StartOptions): Promise<Started<TestS3> | undefined> {
  const command = await versitygwProgram(report)
  if (command === undefined) return undefined
  const data = join(dir, 'versitygw', 'data')
  const versions = join(dir, 'versitygw', 'versions')
  await Promise.all([data, versions].map((path) => mkdir(path, { recursive: true })))
  const [port = 0] = await freePorts(1)
  const s3 = described('versitygw', port)
  const daemon = await startDaemon({
    name: 'versitygw',
    command,
    args: ['--port', `127.0.0.1:${port}`, '--quiet', 'posix', '--versioning-dir', versions, data],
    env: { ROOT_ACCESS_KEY: CREDENTIALS.accessKeyId, ROOT_SECRET_KEY: CREDENTIALS.secretAccessKey },
    logFile: join(dir, 'versitygw.log'),
    probe: () => writeOnce(s3),
  })
  return { value: s3, stop: daemon.stop }
}
