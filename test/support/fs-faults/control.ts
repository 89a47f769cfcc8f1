/** The test's side of preload.ts: one service at a time. */
import { request } from 'node:http'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Blow } from './watch.ts'

export type { Blow } from './watch.ts'

export interface FsFaults {
  /** For the environment of the service, which must have a DATA_DIR on the same file system as `socket`. */
  readonly env: Readonly<Record<string, string>>
  /** Counts from 0 again; with `blow`, the service dies at that step. */
  begin(blow?: { readonly step: number; readonly blow: Blow }): Promise<void>
  /** The steps since `begin`: `store write`, `records rename`, `db sync`, ... */
  steps(): Promise<readonly string[]>
}

/** `socket`: a path of its own, of which `<socket>.graves` is used too. */
export function fsFaults(socket: string): FsFaults {
  const preload = pathToFileURL(join(import.meta.dirname, 'preload.ts')).href
  return {
    env: { FS_FAULTS: socket, NODE_OPTIONS: `--import=${preload}` },
    async begin(blow) {
      const query = blow ? `?step=${blow.step}&blow=${blow.blow}` : ''
      await ask(socket, `/begin${query}`)
    },
    async steps() {
      const steps: unknown = JSON.parse(await ask(socket, '/steps'))
      if (!Array.isArray(steps)) throw new Error(`these are no steps: ${JSON.stringify(steps)}`)
      return steps.map(String)
    },
  }
}

function ask(socketPath: string, path: string): Promise<string> {
  return new Promise((answer, reject) => {
    const outgoing = request({ socketPath, path, agent: false }, (incoming) => {
      let text = ''
      incoming.setEncoding('utf8').on('data', (more: string) => {
        text += more
      })
      incoming.on('end', () => answer(text)).on('error', reject)
    })
    outgoing.on('error', reject).end()
  })
}
