/** Connections of a process, as Postgres and Redis themselves count them. */
import assert from 'node:assert/strict'
import { Redis } from 'ioredis'
import pg from 'pg'
import { eventually, Tus } from '../support/tus.ts'
import { metric, type Stage, settled, shows } from './stage.ts'

export function poolSettings(): void {
  shows('DB_POOL_MIN DB_POOL_MAX', 'pg_stat_activity after the start, and under load', async (stage) => {
    const { db, connections } = await postgres(stage)
    const one = await stage.start({ DB_POOL_MIN: '1', DB_POOL_MAX: '4' })
    assert.ok((await connections()) < 5, 'a minimum of one opens no five')
    await one.kill('SIGTERM')
    await eventually(async () => (await connections()) === 0, 'no connection is left')
    const service = await stage.start({ DB_POOL_MIN: '5', DB_POOL_MAX: '7' })
    await eventually(async () => (await connections()) === 5, 'five connections without a request')

    // Whoever waits for the table keeps its connection, so the pool has to grow to its end.
    await db.query('begin; lock table uploads in access exclusive mode')
    const tus = new Tus(service.url)
    const creations = Array.from({ length: 30 }, () => tus.post({ length: 1 }))
    await eventually(async () => (await connections()) === 7, 'seven connections under load')
    for (let look = 0; look < 10; look++) assert.equal(await connections(), 7)
    assert.ok((await metric(service, 'db_pool_connections{state="waiting"}')) >= 23)
    await db.query('rollback')
    for (const answer of await Promise.all(creations)) assert.equal(answer.status, 201)
  })

  shows('REDIS_POOL_MIN REDIS_POOL_MAX REDIS_PREFIX', 'CLIENT LIST after the start, and under load', async (stage) => {
    const redis = new Redis(stage.world.redisUrl)
    stage.later(() => redis.disconnect())
    const prefix = `${stage.world.redisPrefix}-mine`
    const names = async () =>
      String(await redis.client('LIST')).match(new RegExp(`(?<= name=)${prefix}:\\S+`, 'g')) ?? []
    const commands = async () => (await names()).filter((name) => name.endsWith(':commands')).length
    for (const { min, max } of [
      { min: 1, max: 2 },
      { min: 3, max: 6 },
    ]) {
      const service = await stage.start({
        REDIS_PREFIX: prefix,
        REDIS_POOL_MIN: String(min),
        REDIS_POOL_MAX: String(max),
      })
      assert.equal(await commands(), min, 'the minimum is open at the start')
      assert.equal(await metric(service, 'redis_connections{state="idle"}'), min)
      const others = (await names()).filter((name) => !name.endsWith(':commands'))
      assert.ok(
        others.some((name) => name.endsWith(':subscriber')),
        others.join(' '),
      )

      const tus = new Tus(service.url)
      const paths = await Promise.all(Array.from({ length: 24 }, () => tus.create({ length: 2 })))
      let most = 0
      await eventually(async () => {
        const heads = Promise.all(paths.map((path) => tus.head(path)))
        while (most < max && !(await settled(heads))) most = Math.max(most, await commands())
        for (const { status } of await heads) assert.equal(status, 200)
        most = Math.max(most, await commands())
        return most >= max
      }, `${max} connections under load`)
      for (let round = 0; round < 3; round++) {
        await Promise.all([...paths.map((path) => tus.head(path)), commands().then((now) => assert.equal(now, max))])
      }
      const [first = ''] = paths
      assert.equal((await tus.patch(first, 0, 'a')).status, 204)
      const id = first.split('/').pop()
      assert.deepEqual(
        (await redis.keys(`*${id}*`)).filter((key) => !key.startsWith(`${prefix}:`)),
        [],
      )
      assert.ok((await redis.keys(`${prefix}:*${id}*`)).length > 0, 'the session is under the prefix')
      await service.stop()
      await eventually(async () => (await names()).length === 0, 'no connection is left')
    }
  })
}

/** A connection of the test's own, and how many the services have to the world's database. */
async function postgres(stage: Stage): Promise<{ db: pg.Client; connections: () => Promise<number> }> {
  const db = new pg.Client({ connectionString: stage.world.databaseUrl })
  const watcher = new pg.Client({ connectionString: stage.world.databaseUrl })
  for (const client of [db, watcher]) {
    client.on('error', () => {})
    await client.connect()
    stage.later(() => client.end())
  }
  const connections = async () => {
    const { rows } = await watcher.query(
      `select count(*)::int as n from pg_stat_activity
       where datname = current_database() and application_name = 'upload-service'`,
    )
    return Number(rows[0].n)
  }
  return { db, connections }
}
