/** Where everything is kept: in this process and its folder, or in services. */
import assert from 'node:assert/strict'
import { access, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { Redis } from 'ioredis'
import pg from 'pg'
import { launchServer } from '../../support/launch.ts'
import { freshDataDir } from '../../support/service.ts'
import { s3Client } from '../../support/services.ts'
import { eventually, idOf, Tus } from '../support/tus.ts'
import { type Stage, shows } from './stage.ts'

export function driverSettings(): void {
  shows('STORAGE COORDINATION DATABASE QUEUE DATA_DIR', 'where bytes, holds, rows and jobs are', async (stage) => {
    const { dir, remove } = await freshDataDir()
    stage.later(remove)
    const places = await placesOf(stage)
    const local = { STORAGE: 'file', COORDINATION: 'memory', DATABASE: 'pglite', QUEUE: 'memory', DATA_DIR: dir }
    const alone = await stage.start(local)
    const kept = await new Tus(alone.url).createWith(10, 'begun')
    assert.deepEqual(await places(idOf(kept)), [])
    for (const part of ['store', 'db', 'lock']) await access(join(dir, part))
    const files = await readdir(join(dir, 'store'), { recursive: true })
    assert.ok(
      files.some((name) => name.includes(idOf(kept))),
      'the bytes are below DATA_DIR',
    )

    const shared = await stage.start({ STORAGE: 's3', COORDINATION: 'redis', DATABASE: 'postgres', QUEUE: 'redis' })
    const path = await new Tus(shared.url).createWith(10, 'begun')
    await eventually(async () => (await places(idOf(path))).length === 4, 'it is in all four services')
    for (const [service, names] of [
      [alone, ['file', 'memory', 'pglite']],
      [shared, ['s3', 'redis', 'postgres']],
    ] as const) {
      const { checks } = await (await fetch(`${service.url}/health`)).json()
      assert.deepEqual([checks.storage.driver, checks.redis.driver, checks.database.driver], names)
    }
  })

  shows('NODE_ENV', 'in production AUTH_MODE has to be said', async (stage) => {
    const { AUTH_MODE, ...env } = stage.world.env
    assert.equal(AUTH_MODE, 'none')
    const production = launchServer({ ...env, NODE_ENV: 'production', PORT: '0' })
    assert.equal(await production.ends(), 1)
    assert.match(production.output(), /AUTH_MODE is not set with NODE_ENV=production: give jwt, or none/)
    const development = launchServer({ ...env, NODE_ENV: 'development', PORT: '0' })
    stage.later(() => development.kill())
    await development.says(/"environment":"development"/)
    await development.says(/listening on/)
  })
}

/** The services in which something of an upload is found. */
async function placesOf(stage: Stage): Promise<(id: string) => Promise<string[]>> {
  const { world } = stage
  const redis = new Redis(world.redisUrl)
  const db = new pg.Client({ connectionString: world.databaseUrl })
  const client = s3Client(world.s3)
  await db.connect()
  stage.later(async () => {
    redis.disconnect()
    client.destroy()
    await db.end()
  })
  return async (id) => {
    const found: string[] = []
    const { Contents } = await client.send(new ListObjectsV2Command({ Bucket: world.bucket }))
    if (Contents?.some(({ Key }) => Key?.includes(id))) found.push('s3')
    const keys = await redis.keys(`*${world.redisPrefix}*`)
    if (keys.some((key) => key.includes(id))) found.push('redis')
    if (keys.some((key) => key.startsWith(`{${world.redisPrefix}:queue}`))) found.push('queue')
    const { rows } = await db.query("select to_regclass('uploads') is not null as there")
    if (rows[0].there && (await db.query('select 1 from uploads where id = $1', [id])).rowCount === 1)
      found.push('postgres')
    return found
  }
}
