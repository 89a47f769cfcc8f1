import { freePorts } from './provision/ports.ts'
import { dataArguments, type Home, isMaster, openHome } from './redis-home.ts'
import { fieldOf, type RedisNode, until } from './redis-node.ts'
import type { RedisTopology, TopologyOptions } from './redis-topologies.ts'

/** Three masters with a replica each. */
export async function startCluster(options: TopologyOptions = {}): Promise<RedisTopology> {
  const place = await openHome('cluster')
  try {
    return await clusterIn(place, options)
  } catch (error) {
    await place.stop()
    throw error
  }
}

const MASTERS = 3
const SLOTS = 16_384

async function clusterIn(place: Home, { settings = [], tls }: TopologyOptions): Promise<RedisTopology> {
  const count = 2 * MASTERS
  const ports = await freePorts(3 * count)
  const buses = ports.splice(count, count)
  const secure = ports.splice(count)
  const served = tls ? secure : ports
  const nodes = await Promise.all(
    ports.map((port, n) =>
      place.start(port, [
        ...dataArguments(port, settings),
        ...['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000'],
        // The usual bus port, 10,000 above, may be one that the system gave to somebody's connection.
        ...['--cluster-port', String(buses[n]), '--cluster-replica-validity-factor', '0'],
        ...(tls ? ['--tls-port', String(secure[n]), ...tlsArguments(tls)] : []),
      ]),
    ),
  )
  await joinAll(nodes, served, buses)

  const masterOf = async (key: string): Promise<RedisNode> => {
    const anyone = await firstOf(nodes)
    const slot = await anyone.admin.cluster('KEYSLOT', key)
    const ranges = await anyone.admin.cluster('SLOTS')
    const range = ranges.find(([from, to]) => Number(from) <= slot && slot <= Number(to))
    const owner: unknown = range?.[2]
    const port = Array.isArray(owner) ? Number(owner[1]) : 0
    const node = nodes.find((one) => one.port === port)
    if (node === undefined) throw new Error(`nobody has slot ${slot}`)
    return node
  }
  return {
    kind: 'cluster',
    url: `${tls ? 'rediss' : 'redis'}+cluster://${served.map((port) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    masterOf,
    async masters() {
      const living = nodes.filter(({ running }) => running)
      const roles = await Promise.all(living.map(isMaster))
      return living.filter((_, n) => roles[n])
    },
    async failedOver(key, dead) {
      const others = nodes.filter((node) => node !== dead && node.running)
      await until('another node is the master', async () => {
        const now = await masterOf(key)
        return now !== dead && (await Promise.all(others.map(isServing))).every(Boolean)
      })
      return masterOf(key)
    },
    async deadAfter(ms) {
      const living = nodes.filter(({ running }) => running)
      await Promise.all(living.map(({ admin }) => admin.config('SET', 'cluster-node-timeout', ms)))
    },
    stop: place.stop,
  }
}

function tlsArguments({ keyFile, certFile, caFile }: NonNullable<TopologyOptions['tls']>): string[] {
  const files = ['--tls-key-file', keyFile, '--tls-cert-file', certFile, '--tls-ca-cert-file', caFile]
  return [...files, '--tls-auth-clients', 'no', '--tls-cluster', 'yes', '--tls-replication', 'yes']
}

/** What `redis-cli --cluster create` does, for buses at ports of their own. */
async function joinAll(nodes: readonly RedisNode[], ports: readonly number[], buses: readonly number[]): Promise<void> {
  const [first, ...others] = nodes
  const masters = nodes.slice(0, MASTERS)
  const share = Math.ceil(SLOTS / MASTERS)
  await Promise.all(nodes.map(({ admin }, n) => admin.call('CLUSTER', 'SET-CONFIG-EPOCH', n + 1)))
  await Promise.all(
    masters.map(({ admin }, n) =>
      admin.call('CLUSTER', 'ADDSLOTSRANGE', n * share, Math.min(SLOTS, (n + 1) * share) - 1),
    ),
  )
  for (const n of others.keys()) {
    await first?.admin.call('CLUSTER', 'MEET', '127.0.0.1', String(ports[n + 1]), String(buses[n + 1]))
  }
  const ids = await Promise.all(masters.map(({ admin }) => admin.call('CLUSTER', 'MYID')))
  await until('all have met', async () =>
    (
      await Promise.all(
        nodes.map(async ({ admin }) => fieldOf(String(await admin.cluster('INFO')), 'cluster_known_nodes')),
      )
    ).every((known) => known === String(nodes.length)),
  )
  for (const [n, { admin }] of nodes.slice(MASTERS).entries()) {
    await until(
      'a replica knows its master',
      async () => (await admin.call('CLUSTER', 'REPLICATE', String(ids[n]))) === 'OK',
    )
  }
  await until('the cluster is whole', async () => (await Promise.all(nodes.map(isWhole))).every(Boolean))
}

async function isServing({ admin }: RedisNode): Promise<boolean> {
  return fieldOf(String(await admin.cluster('INFO')), 'cluster_state') === 'ok'
}

/** Serving, all slots covered, its master or its replica there. */
async function isWhole(node: RedisNode): Promise<boolean> {
  if (!(await isServing(node))) return false
  const info = await node.admin.info('replication')
  if (fieldOf(info, 'role') === 'master') return fieldOf(info, 'connected_slaves') === '1'
  return fieldOf(info, 'master_link_status') === 'up'
}

async function firstOf(nodes: readonly RedisNode[]): Promise<RedisNode> {
  return Promise.any(
    nodes.map(async (node) => {
      if (!node.running || !(await isServing(node))) throw new Error(`${node.port} does not serve`)
      return node
    }),
  )
}
