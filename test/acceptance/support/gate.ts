/** A TCP proxy that can be shut and opened again, in front of a service that must seem to be away. */
import net from 'node:net'

export interface Gate {
  readonly port: number
  /** The same address with the host and port of the gate. */
  url(of: string): string
  /** Cuts what runs and refuses what comes. */
  shut(): Promise<void>
  open(): Promise<void>
  /** Takes connections and bytes and answers nothing, until it is closed. */
  hang(): void
  close(): Promise<void>
}

function listen(server: net.Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve())
  })
}

export async function gateTo(target: string): Promise<Gate> {
  const { hostname, port: targetPort } = new URL(target)
  const sockets = new Set<net.Socket>()
  let hanging = false
  const accept = (near: net.Socket): void => {
    if (hanging) {
      sockets.add(near)
      near.on('error', () => {})
      return
    }
    const far = net.connect(Number(targetPort), hostname)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
      one.pipe(other)
    }
  }
  let server = net.createServer(accept)
  await listen(server, 0)
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the gate has no port')
  const { port } = address

  const shut = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  return {
    port,
    url: (of) => {
      const url = new URL(of)
      url.hostname = '127.0.0.1'
      url.port = String(port)
      return url.href
    },
    shut,
    open: async () => {
      server = net.createServer(accept)
      await listen(server, port)
    },
    hang: () => {
      hanging = true
      for (const socket of sockets) {
        socket.unpipe()
        socket.pause()
      }
    },
    close: async () => {
      if (server.listening) await shut()
    },
  }
}
