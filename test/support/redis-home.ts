import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fieldOf, type RedisNode, startNode } from './redis-node.ts'

/** The processes of one topology, each in a directory of its own below one. */
export interface Home {
  readonly dir: string
  readonly nodes: RedisNode[]
  start(port: number, args: readonly string[]): Promise<RedisNode>
  stop(): Promise<void>
}

/** An empty one; `name` is for the directory's name. */
export async function openHome(name: string): Promise<Home> {
  const dir = await mkdtemp(join(tmpdir(), `redis-${name}-`))
  const nodes: RedisNode[] = []
  return {
    dir,
    nodes,
    async start(port, args) {
      const own = join(dir, String(port))
      await mkdir(own)
      const node = await startNode(port, [...args, '--dir', own])
      nodes.push(node)
      return node
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()))
      await rm(dir, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** Arguments that every data node gets. */
export function dataArguments(port: number, settings: readonly string[]): string[] {
  const memory = ['--save', '', '--appendonly', 'no', '--repl-diskless-sync-delay', '0']
  return ['--port', String(port), '--bind', '127.0.0.1', ...memory, ...settings]
}

export async function isMaster(node: RedisNode): Promise<boolean> {
  return fieldOf(await node.admin.info('replication'), 'role') === 'master'
}

/** A replica whose link to its master is up. */
export async function hasItsMaster(node: RedisNode): Promise<boolean> {
  return fieldOf(await node.admin.info('replication'), 'master_link_status') === 'up'
}
