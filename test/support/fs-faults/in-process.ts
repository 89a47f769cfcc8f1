/** The same in a test's own process, for what needs no service: a folder from which a power cut can be taken back. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Cut, Disk } from './disk.ts'
import { replaceAsync, replaceSync } from './replace.ts'
import { Watch } from './watch.ts'

export interface CuttableFolder {
  /** A data directory; `store`, `records` and `db` in it are watched. */
  readonly dir: string
  /** The power goes: once, and nothing may be written afterwards. */
  cut(what: Cut): void
}

export async function cuttableFolder(t: TestContext): Promise<CuttableFolder> {
  const home = mkdtempSync(join(tmpdir(), 'power-cut-'))
  t.after(() => rmSync(home, { recursive: true }))
  const dir = join(home, 'data')
  mkdirSync(dir)
  const disk = new Disk(join(home, 'graves'))
  const watch = new Watch(dir, disk)
  replaceSync(watch)
  await replaceAsync(watch)
  syncBuiltinESMExports()
  return { dir, cut: (what) => disk.cut(what) }
}
