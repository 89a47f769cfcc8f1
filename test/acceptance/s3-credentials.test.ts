/** S3 without keys in our own settings: the AWS SDK's default chain finds them where the platform put them. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { launchServer } from '../support/launch.ts'
import { type Env, freshWorld, startService, type World } from '../support/service.ts'
import { Tus } from './support/tus.ts'

describe("S3 credentials by the SDK's default chain", { concurrency: 2 }, () => {
  let world: World
  let home: string
  let bare: Env
  before(async () => {
    world = await freshWorld()
    home = await mkdtemp(join(tmpdir(), 'credentials-'))
    // Nothing of the machine that runs the test may answer instead.
    const nowhere = { HOME: home, AWS_EC2_METADATA_DISABLED: 'true' }
    bare = { ...world.env, S3_ACCESS_KEY_ID: undefined, S3_SECRET_ACCESS_KEY: undefined, ...nowhere }
  })
  after(async () => {
    await world.remove()
    await rm(home, { recursive: true, force: true })
  })

  async function uploads(env: Env): Promise<void> {
    const service = await startService({ mode: 'production', env: { ...bare, ...env } })
    try {
      const tus = new Tus(service.url)
      assert.equal((await tus.head(await tus.createWith(5, 'whole'))).headers['upload-offset'], '5')
    } finally {
      await service.kill()
    }
  }

  test('AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY', async () => {
    const { accessKeyId, secretAccessKey } = world.s3
    await uploads({ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey })
  })

  test('a profile of a credentials file', async () => {
    const { accessKeyId, secretAccessKey } = world.s3
    const file = join(home, 'credentials')
    const keys = `aws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`
    await writeFile(
      file,
      `[default]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n\n[uploads]\n${keys}`,
    )
    await uploads({ AWS_SHARED_CREDENTIALS_FILE: file, AWS_PROFILE: 'uploads' })
  })

  test('the endpoint of a container (roles of ECS tasks and EKS pods), with its token', async (t) => {
    const asked: (string | undefined)[] = []
    const endpoint = createServer((req, res) => {
      asked.push(req.headers.authorization)
      const { accessKeyId, secretAccessKey } = world.s3
      // The stores of the tests know no sessions, and refuse a token.
      const keys = { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: '' }
      res.setHeader('Content-Type', 'application/json')
      res.end(JSON.stringify({ ...keys, Expiration: new Date(Date.now() + 3_600_000).toISOString() }))
    })
    endpoint.listen(0, '127.0.0.1')
    await once(endpoint, 'listening')
    t.after(() => endpoint.close())
    const address = endpoint.address()
    assert.ok(typeof address === 'object' && address !== null)
    await uploads({
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${address.port}/role`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: 'let me in',
    })
    assert.deepEqual(new Set(asked), new Set(['let me in']))
  })

  test('none anywhere: it says so and does not become ready', async () => {
    const service = launchServer({ ...bare, HOST: '127.0.0.1', PORT: '0' })
    try {
      await service.says(/credentials/i)
      const [, address = ''] = await service.says(/"address":"(http:[^"]+)"/)
      const ready = await fetch(`${address}/readyz`).then(
        ({ status }) => status,
        () => 'ended',
      )
      assert.ok(ready === 503 || ready === 'ended', `readyz: ${ready}`)
    } finally {
      await service.kill()
    }
  })
})
