import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'

/** The proxies whose forwarded headers are believed. */
export interface Proxies {
  trusts(address: string | undefined): boolean
  /** The client: the last address of X-Forwarded-For that is not a trusted proxy, else the peer. */
  clientOf(req: IncomingMessage): string
}

/** Throws on an entry that is no IP address and no CIDR block. */
export function trustProxies(entries: readonly string[]): Proxies {
  const list = new BlockList()
  for (const entry of entries) addEntry(list, entry)
  const trusts = (address: string | undefined): boolean => {
    const plain = withoutMapping(address ?? '')
    const family = isIP(plain)
    return family !== 0 && list.check(plain, family === 6 ? 'ipv6' : 'ipv4')
  }
  const clientOf = (req: IncomingMessage): string => {
    const peer = withoutMapping(req.socket.remoteAddress ?? '')
    if (!trusts(peer)) return peer
    const hops = String(req.headers['x-forwarded-for'] ?? '').split(',')
    const known = hops.map((hop) => withoutMapping(hop.trim())).filter((hop) => isIP(hop) !== 0)
    return known.findLast((hop) => !trusts(hop)) ?? known[0] ?? peer
  }
  return { trusts, clientOf }
}

function addEntry(list: BlockList, entry: string): void {
  const [address = '', bits] = entry.split('/')
  const family = isIP(address)
  if (family === 0) throw new Error(`Trusted proxy ${JSON.stringify(entry)} is no IP address and no CIDR block`)
  const type = family === 6 ? 'ipv6' : 'ipv4'
  if (bits === undefined) list.addAddress(address, type)
  else list.addSubnet(address, Number(bits), type)
}

/** `::ffff:10.0.0.1` is 10.0.0.1 on a socket that speaks both. */
function withoutMapping(address: string): string {
  return address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address
}
