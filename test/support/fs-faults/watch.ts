import { relative, sep } from 'node:path'
import type { Cut, Disk } from './disk.ts'

/** Below DATA_DIR: bytes, record files, database. */
export type Room = 'store' | 'records' | 'db'

/** What a step does. `sync` is of a file, `sync-folder` of a folder. */
export type Kind = 'create' | 'write' | 'truncate' | 'sync' | 'sync-folder' | 'rename' | 'remove' | 'mkdir'

/** `kill`: right before the step. `torn`: in its middle, when it is a write. Else a power cut right before it. */
export type Blow = 'kill' | 'torn' | 'cut-all' | 'cut-bytes'

/** Counts steps and ends the process at one of them. */
export class Watch {
  readonly disk: Disk
  readonly #root: string
  readonly #rooms = new Map<number, Room>()
  readonly #steps: string[] = []
  #armed: { readonly step: number; readonly blow: Blow } | null = null

  constructor(root: string, disk: Disk) {
    this.#root = root
    this.disk = disk
  }

  /** Counts from 0 again; with a blow, at that step. */
  begin(armed: { readonly step: number; readonly blow: Blow } | null): void {
    this.#steps.length = 0
    this.#armed = armed
  }

  /** `store write`, ... in their order since `begin`. */
  get steps(): readonly string[] {
    return this.#steps
  }

  roomOf(path: unknown): Room | null {
    if (typeof path !== 'string') return null
    const [first = ''] = relative(this.#root, path).split(sep)
    if (first === 'store' || first === 'records') return first
    return first === 'db' || first === 'db.unfinished' ? 'db' : null
  }

  opened(descriptor: number, room: Room | null): void {
    if (room === null) this.#rooms.delete(descriptor)
    else this.#rooms.set(descriptor, room)
  }

  roomOfDescriptor(descriptor: number): Room | null {
    return this.#rooms.get(descriptor) ?? null
  }

  /** About to happen; does not return when the blow falls here. `half`: does half of a write. */
  step(room: Room, kind: Kind, half: () => void = () => {}): void {
    if (room === 'db' && kind !== 'sync') return
    const step = this.#steps.push(`${room} ${kind}`) - 1
    if (this.#armed?.step !== step) return
    const { blow } = this.#armed
    if (blow === 'torn') half()
    else if (blow !== 'kill') this.#cut(blow === 'cut-all' ? 'all' : 'bytes')
    process.kill(process.pid, 'SIGKILL')
  }

  #cut(what: Cut): void {
    try {
      this.disk.cut(what)
    } catch (error) {
      // The test expects a SIGKILL: another end is not taken for one.
      process.stderr.write(`fs-faults: the power cut could not be simulated: ${error}\n`)
      process.exit(99)
    }
  }
}
