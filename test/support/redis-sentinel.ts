import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePorts } from './provision/ports.ts'
import { dataArguments, type Home, hasItsMaster, isMaster, openHome } from './redis-home.ts'
import { type RedisNode, until } from './redis-node.ts'
import type { RedisTopology, TopologyOptions } from './redis-topologies.ts'

const MASTER = 'uploads'

/** One master, two replicas, three sentinels. */
export async function startSentinel({ settings = [] }: TopologyOptions = {}): Promise<RedisTopology> {
  const place = await openHome('sentinel')
  try {
    return await sentinelIn(place, settings)
  } catch (error) {
    await place.stop()
    throw error
  }
}

async function sentinelIn(place: Home, settings: readonly string[]): Promise<RedisTopology> {
  const ports = await freePorts(6)
  const [first = 0, ...others] = ports.slice(0, 3)
  const data = [await place.start(first, dataArguments(first, settings))]
  for (const port of others) {
    data.push(await place.start(port, [...dataArguments(port, settings), '--replicaof', '127.0.0.1', String(first)]))
  }
  await until('the replicas follow', async () => (await Promise.all(data.slice(1).map(hasItsMaster))).every(Boolean))
  const sentinels: RedisNode[] = []
  for (const port of ports.slice(3)) {
    const file = join(place.dir, `sentinel-${port}.conf`)
    await writeFile(file, sentinelConfig(port, first))
    sentinels.push(await place.start(port, [file, '--sentinel']))
  }
  const knowEachOther = async ({ admin }: RedisNode): Promise<boolean> => {
    const info = await admin.info('sentinel')
    return /slaves=2,sentinels=3/.test(info)
  }
  await until('the sentinels know each other and both replicas', async () =>
    (await Promise.all(sentinels.map(knowEachOther))).every(Boolean),
  )

  const master = async (): Promise<RedisNode> => {
    const answers = await Promise.all(
      sentinels.map(({ admin }) => admin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER)),
    )
    const named = new Set(answers.map((answer) => (Array.isArray(answer) ? Number(answer[1]) : 0)))
    const node = data.find(({ port }) => port === [...named][0])
    if (named.size !== 1 || node === undefined) throw new Error(`the sentinels name ${[...named].join(', ')}`)
    return node
  }
  return {
    kind: 'sentinel',
    url: `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${MASTER}`,
    nodes: data,
    masterOf: master,
    masters: async () => [await master()],
    async failedOver(_key, dead) {
      await until('another node is the master', async () => {
        const now = await master()
        return now !== dead && (await isMaster(now))
      })
      return master()
    },
    async deadAfter(ms) {
      const set = ({ admin }: RedisNode) =>
        admin.call('SENTINEL', 'SET', MASTER, 'down-after-milliseconds', ms, 'failover-timeout', 4 * ms)
      await Promise.all(sentinels.map(set))
    },
    stop: place.stop,
  }
}

const sentinelConfig = (port: number, master: number): string => `port ${port}
bind 127.0.0.1
sentinel monitor ${MASTER} 127.0.0.1 ${master} 2
sentinel down-after-milliseconds ${MASTER} 1000
sentinel failover-timeout ${MASTER} 4000
sentinel parallel-syncs ${MASTER} 2
`
