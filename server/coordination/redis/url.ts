/** Where Redis is, as REDIS_URL spells it. */
export interface RedisAddress {
  readonly host: string
  readonly port: number
}

interface Access {
  readonly tls: boolean
  readonly username: string | null
  readonly password: string | null
}

export type RedisTarget =
  | (Access & { readonly kind: 'single'; readonly address: RedisAddress; readonly db: number })
  | (Access & {
      readonly kind: 'sentinel'
      readonly sentinels: readonly RedisAddress[]
      /** The name under which the sentinels know the primary. */
      readonly master: string
      readonly db: number
      /** The sentinels' own password (`?sentinelPassword=`), null where they have none. */
      readonly sentinelPassword: string | null
    })
  | (Access & { readonly kind: 'cluster'; readonly nodes: readonly RedisAddress[] })

const FORMS =
  'redis://host:6379/0, rediss://host:6379/0, redis+sentinel://:password@h1:26379,h2:26379/master-name/0 or redis+cluster://h1:6379,h2:6379'
// new URL() knows neither several hosts nor what stands behind them here.
const URL_PARTS = /^(redis|rediss)(?:\+(sentinel|cluster))?:\/\/(?:([^@/?#]*)@)?([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/

/**
 * Reads a REDIS_URL: `redis://`, `rediss://` (TLS), `redis+sentinel://` and `redis+cluster://` (TLS: `rediss+...`).
 * User, password and names are percent-decoded.
 * @throws Error with a sentence that says what is wrong; it never repeats the password.
 */
export function parseRedisUrl(text: string): RedisTarget {
  const match = URL_PARTS.exec(text.trim())
  if (!match) throw new Error(`The Redis URL is not one of ${FORMS}`)
  const [, scheme, mode, user, hosts = '', path = '', query = ''] = match
  const access = { tls: scheme === 'rediss', ...parseUser(user) }
  const options = new URLSearchParams(query)
  const names = path.split('/').slice(1).filter(Boolean).map(decode)
  for (const key of options.keys()) {
    if (mode !== 'sentinel' || key !== 'sentinelPassword')
      throw new Error(`The Redis URL has an unknown option "${key}"`)
  }
  if (mode === 'sentinel') return { kind: 'sentinel', ...access, ...parseSentinel(hosts, names, options) }
  if (mode === 'cluster') {
    const [db, ...more] = names
    if (more.length > 0 || (db !== undefined && db !== '0')) {
      throw new Error('A Redis Cluster has only database 0: leave the path of the Redis URL out')
    }
    return { kind: 'cluster', ...access, nodes: parseHosts(hosts, 6379) }
  }
  const [address, second] = parseHosts(hosts, 6379)
  if (!address || second) {
    throw new Error(`The Redis URL names several hosts: use redis+sentinel:// or redis+cluster:// for that`)
  }
  if (names.length > 1) throw new Error(`The path of the Redis URL is a database number, not "${names.join('/')}"`)
  return { kind: 'single', ...access, address, db: parseDatabase(names[0]) }
}

/** The target as a log line or an error may show it: no user, no password. */
export function describeTarget(target: RedisTarget): string {
  const list = (addresses: readonly RedisAddress[]) => addresses.map(({ host, port }) => `${host}:${port}`).join(',')
  switch (target.kind) {
    case 'single':
      return `Redis ${list([target.address])}/${target.db}`
    case 'sentinel':
      return `Redis primary "${target.master}" of sentinels ${list(target.sentinels)}`
    case 'cluster':
      return `Redis Cluster ${list(target.nodes)}`
  }
}

function parseSentinel(hosts: string, names: readonly string[], options: URLSearchParams) {
  const [master, db, ...more] = names
  if (master === undefined || more.length > 0) {
    throw new Error('The path of a redis+sentinel:// URL is /master-name or /master-name/database')
  }
  return {
    sentinels: parseHosts(hosts, 26379),
    master,
    db: parseDatabase(db),
    sentinelPassword: options.get('sentinelPassword'),
  }
}

function parseUser(text: string | undefined): { username: string | null; password: string | null } {
  if (text === undefined || text === '') return { username: null, password: null }
  const colon = text.indexOf(':')
  const username = decode(colon < 0 ? text : text.slice(0, colon))
  const password = colon < 0 ? '' : decode(text.slice(colon + 1))
  return { username: username || null, password: password || null }
}

function parseHosts(text: string, defaultPort: number): RedisAddress[] {
  return text.split(',').map((entry) => {
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+))(?::(\d+))?$/.exec(entry)
    const host = match?.[1] ?? match?.[2]
    if (host === undefined) throw new Error(`The Redis URL has no usable host in "${entry}": write host or host:port`)
    const port = match?.[3] === undefined ? defaultPort : Number(match[3])
    if (port < 1 || port > 65535) throw new Error(`The Redis URL has a port out of range: ${entry}`)
    return { host, port }
  })
}

function parseDatabase(text: string | undefined): number {
  if (text === undefined) return 0
  if (!/^\d{1,5}$/.test(text)) throw new Error(`The Redis URL names database "${text}": it must be a number from 0 on`)
  return Number(text)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Error('The Redis URL has a bad percent-escape in its user, password or path')
  }
}
