import type { Cluster, Redis } from 'ioredis'

/**
 * Gives up a connection that was accepted and then says nothing: a frozen server's kernel still accepts, and no other
 * timeout covers the time from there to `ready`. The client then connects again, to where the primary is by then.
 */
export function giveUpSilentHandshake(client: Redis, afterMs: number): void {
  let timer: NodeJS.Timeout | undefined
  client.on('connect', () => {
    clearTimeout(timer)
    // Closed meanwhile, it must not be brought back.
    timer = setTimeout(() => client.status === 'connect' && client.disconnect(true), afterMs)
    timer.unref()
  })
  const settled = () => clearTimeout(timer)
  client.on('ready', settled)
  client.on('close', settled)
}

/**
 * Drops the connections to those nodes of a cluster that do not answer; calls to the others go on. A dropped node is
 * connected to again as soon as a call needs it, if it still has the call's slot.
 */
export async function dropSilentNodes(cluster: Cluster, withinMs: number): Promise<void> {
  await Promise.all(
    cluster.nodes('all').map(async (node) => {
      // One that nothing was sent to yet is not connected, and stays so.
      if (node.status === 'wait') return
      if (!(await answers(node, withinMs))) node.disconnect()
    }),
  )
}

function answers(node: Redis, withinMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => setImmediate(() => resolve(false)), withinMs)
    const settle = (answer: boolean) => {
      clearTimeout(timer)
      resolve(answer)
    }
    node.ping().then(
      () => settle(true),
      () => settle(false),
    )
  })
}
