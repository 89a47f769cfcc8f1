import { join } from 'node:path'
import type { TestS3 } from '../services.ts'
import { findProgram, run } from './command.ts'
import { freePorts } from './ports.ts'
import type { ServiceName } from './start-all.ts'
import type { Started, StartOptions } from './types.ts'

const FILE = join(import.meta.dirname, 'compose.yaml')

interface Reached {
  redis: string
  postgres: string
  seaweedfs: TestS3
  versitygw: TestS3
}

function store(name: TestS3['name'], port: number): TestS3 {
  const keys = { accessKeyId: 'test-access', secretAccessKey: 'test-secret' }
  return { name, endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', ...keys }
}

const REACHED: { [Name in ServiceName]: (port: number) => Reached[Name] } = {
  redis: (port) => `redis://127.0.0.1:${port}`,
  postgres: (port) => `postgres://app@127.0.0.1:${port}/postgres`,
  seaweedfs: (port) => store('seaweedfs', port),
  versitygw: (port) => store('versitygw', port),
}

/** Starts one service with `docker compose` on a free loopback port; undefined when no Docker daemon answers. */
export async function startWithCompose<Name extends ServiceName>(
  name: Name,
  { report }: StartOptions,
): Promise<Started<Reached[Name]> | undefined> {
  const docker = findProgram('docker')
  if (docker === undefined) return undefined
  const answers = await run(docker, ['info'], { timeoutMs: 20_000 }).then(
    () => true,
    () => false,
  )
  if (!answers) return undefined
  const [port = 0] = await freePorts(1)
  const project = `upload-service-tests-${name}-${port}`
  const compose = (...args: string[]): Promise<string> =>
    run(docker, ['compose', '-p', project, '-f', FILE, ...args], { env: { PORT: String(port) } })
  report(`starting ${name} with docker compose`)
  await compose('up', '-d', '--wait', name)
  const stop = async (): Promise<void> => {
    await compose('down', '-v', '--timeout', '5')
  }
  return { value: REACHED[name](port), stop }
}
