/** The works that are compared, and how much of each. */
import type { Work } from './load/works.ts'
import type { ServerName } from './servers.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB

/** A work that every server does; CPU, store requests and times are taken of it. */
export interface PlannedWork {
  readonly id: string
  readonly title: string
  /** What the CPU figure is given for. */
  readonly per: 'GiB' | 'upload' | 'request'
  /** How many of `per` one run of this server does. */
  amount(server: ServerName): number
  /** How many uploads or requests of the work one run does; store requests are given for one. */
  count(server: ServerName): number
  /** Payload of one of `count`, bytes. */
  readonly bytes: number
  /** Most of the relay's CPU that ours may take (design, "What it must cost"), and most store requests for one. */
  readonly target: { readonly relay?: number; readonly requests?: number }
  /** Done before, not measured. */
  prepare?(url: string, server: ServerName): Work
  work(url: string, server: ServerName): Work
  /** Measured on a real store too. */
  readonly real: boolean
}

/** Cheap servers do more of the same, so that 10 ms steps of CPU time say something. */
type Counts = Readonly<Record<ServerName, number>>
const counts = (relay: number, ours: number, plain: number): Counts => ({ relay, ours, plain, tusd: plain })

function uploadWork(
  id: string,
  title: string,
  each: Counts,
  parallel: number,
  bytes: number,
  patchBytes: number,
  target: PlannedWork['target'],
  real: boolean,
): PlannedWork {
  return {
    id,
    title,
    per: 'GiB',
    amount: (server) => (each[server] * bytes) / GIB,
    count: (server) => each[server],
    bytes,
    target,
    real,
    work: (url, server) => ({ name: 'uploads', work: { url, count: each[server], parallel, bytes, patchBytes } }),
  }
}

/** All works, with sizes multiplied by `scale`. */
export function plan(scale: number): PlannedWork[] {
  const size = (bytes: number): number => Math.max(MIB, Math.round((bytes * scale) / MIB) * MIB)
  const some = (relay: number, ours: number, plain: number): Counts => {
    const scaled = (count: number): number => Math.max(8, Math.round(count * scale))
    return counts(scaled(relay), scaled(ours), scaled(plain))
  }
  const mib = (bytes: number): string => (bytes >= GIB ? `${bytes / GIB} GiB` : `${bytes / MIB} MiB`)
  const [large, eighth, chunked] = [size(GIB), size(GIB / 8), size(100 * MIB)]
  const tiny = some(2000, 1000, 250)
  const heads = some(4000, 2500, 600)
  const posts = some(4000, 2000, 400)
  const once = some(1000, 800, 150)
  const file = (requests: 1 | 2, target: PlannedWork['target']): PlannedWork => ({
    id: requests === 1 ? 'file' : 'file-two',
    title: requests === 1 ? '10 KiB file in one POST' : '10 KiB file in POST and PATCH',
    per: 'upload',
    amount: (server) => tiny[server],
    count: (server) => tiny[server],
    bytes: 10 * KIB,
    target,
    real: requests === 1,
    work: (url, server) => ({
      name: 'files',
      work: { url, count: tiny[server], parallel: 8, bytes: 10 * KIB, requests },
    }),
  })
  return [
    uploadWork('large', `${mib(large)} in one PATCH`, counts(1, 1, 1), 1, large, large, { relay: 1.3 }, true),
    uploadWork(
      'eight',
      `8 PATCHes of ${mib(eighth)} at once`,
      counts(8, 8, 8),
      8,
      eighth,
      eighth,
      { relay: 1.3 },
      false,
    ),
    uploadWork('one', `${mib(chunked)} in one PATCH`, counts(4, 4, 1), 1, chunked, chunked, { requests: 15 }, false),
    uploadWork(
      'chunks',
      `${mib(chunked)} in 1 MiB PATCHes`,
      counts(4, 2, 1),
      1,
      chunked,
      MIB,
      { relay: 2.5, requests: 105 },
      true,
    ),
    file(1, { relay: 4, requests: 1 }),
    file(2, {}),
    {
      id: 'post',
      title: 'POST without bytes',
      per: 'request',
      amount: (server) => posts[server],
      count: (server) => posts[server],
      bytes: 0,
      target: { relay: 7, requests: 0 },
      real: false,
      work: (url, server) => ({ name: 'posts', work: { url, count: posts[server], parallel: 8 } }),
    },
    {
      id: 'head',
      title: 'HEAD of an unfinished upload, again and again',
      per: 'request',
      amount: (server) => heads[server],
      count: (server) => heads[server],
      bytes: 0,
      target: { relay: 5, requests: 0 },
      real: false,
      prepare: (url) => ({ name: 'prepareHeads', work: { url, count: 40 } }),
      work: (url, server) => ({ name: 'heads', work: { url, count: heads[server], parallel: 8 } }),
    },
    {
      id: 'head-once',
      title: 'HEAD of an unfinished upload, the first after 3 s',
      per: 'request',
      amount: (server) => once[server],
      count: (server) => once[server],
      bytes: 0,
      target: { relay: 5, requests: 0 },
      real: false,
      // Nothing is known any more of an upload that rested: its row is read.
      prepare: (url, server) => ({ name: 'prepareHeads', work: { url, count: once[server], restMs: 3000 } }),
      work: (url, server) => ({ name: 'heads', work: { url, count: once[server], parallel: 8 } }),
    },
  ]
}
