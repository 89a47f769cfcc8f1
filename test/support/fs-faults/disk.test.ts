import assert from 'node:assert/strict'
import {
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Cut, Disk } from './disk.ts'

/** A folder with a file in it that are synced, and a disk that watches them. */
function begin(t: TestContext) {
  const home = mkdtempSync(join(tmpdir(), 'disk-'))
  t.after(() => rmSync(home, { recursive: true }))
  const root = join(home, 'root')
  const at = (...names: string[]) => join(root, ...names)
  mkdirSync(at('sub'), { recursive: true })
  writeFileSync(at('old'), 'old bytes')
  const disk = new Disk(join(home, 'graves'))
  return { disk, at, root }
}

/** What is there: names, and the content of files. */
function content(folder: string): Record<string, string | null> {
  const names = readdirSync(folder, { recursive: true }).map(String).sort()
  return Object.fromEntries(
    names.map((name) => {
      const path = join(folder, name)
      return [name, statSync(path).isFile() ? readFileSync(path, 'utf8') : null]
    }),
  )
}

function write(
  disk: Disk,
  path: string,
  flags: string,
  text: string,
  position: number | null = null,
  sync = false,
): void {
  const descriptor = disk.open(path, flags)
  disk.write(descriptor, text, position)
  if (sync) disk.sync(descriptor)
  closeSync(descriptor)
}

function sync(disk: Disk, path: string): void {
  const descriptor = openSync(path, 'r')
  disk.sync(descriptor)
  closeSync(descriptor)
}

const BEFORE = { old: 'old bytes', sub: null }

/** Each change that is not synced, and what is left of it when names survive. */
const CHANGES: readonly (readonly [string, (disk: Disk, at: (...names: string[]) => string) => void, object])[] = [
  ['a new file', (disk, at) => write(disk, at('new'), 'wx', 'text'), { ...BEFORE, new: '' }],
  ['bytes over others', (disk, at) => write(disk, at('old'), 'r+', 'NEW', 4), BEFORE],
  ['bytes behind the end', (disk, at) => write(disk, at('old'), 'a', ' and more'), BEFORE],
  ['a file emptied and written', (disk, at) => write(disk, at('old'), 'w', 'x'), BEFORE],
  [
    'a file cut',
    (disk, at) => {
      const descriptor = disk.open(at('old'), 'r+')
      disk.truncate(descriptor, 3)
      closeSync(descriptor)
    },
    BEFORE,
  ],
  ['a folder', (disk, at) => disk.mkdir(at('a', 'b'), { recursive: true }), { a: null, 'a/b': null, ...BEFORE }],
  ['a removed file', (disk, at) => disk.unlink(at('old')), { sub: null }],
  ['a removed folder', (disk, at) => disk.rmdir(at('sub')), { old: 'old bytes' }],
  ['a removed tree', (disk, at) => disk.remove(at('sub')), { old: 'old bytes' }],
  ['a renamed file', (disk, at) => disk.rename(at('old'), at('sub', 'moved')), { sub: null, 'sub/moved': 'old bytes' }],
  ['a copy', (disk, at) => disk.copy(at('old'), at('copy')), { copy: '', ...BEFORE }],
  [
    'a file that replaces another',
    (disk, at) => {
      write(disk, at('new'), 'wx', 'text')
      disk.rename(at('new'), at('old'))
    },
    { old: '', sub: null },
  ],
  [
    'one after another',
    (disk, at) => {
      write(disk, at('sub', 'x'), 'wx', '1')
      disk.rename(at('sub'), at('other'))
      write(disk, at('other', 'x'), 'a', '2')
      disk.unlink(at('old'))
      write(disk, at('old'), 'wx', 'another')
      disk.rename(at('other', 'x'), at('y'))
    },
    { old: '', other: null, y: '' },
  ],
]

for (const [name, change, named] of CHANGES) {
  test(`a cut takes back ${name}`, (t) => {
    for (const [cut, expected] of [
      ['all', BEFORE],
      ['bytes', named],
    ] satisfies [Cut, object][]) {
      const { disk, at, root } = begin(t)
      change(disk, at)
      assert.notDeepEqual(content(root), BEFORE)
      disk.cut(cut)
      assert.deepEqual(content(root), expected, cut)
    }
  })
}

test('what was synced stays: bytes with their file, names with their folder', (t) => {
  const { disk, at, root } = begin(t)
  write(disk, at('named'), 'wx', 'bytes are not', null, false)
  sync(disk, root)
  write(disk, at('sub', 'unnamed'), 'wx', 'bytes are', null, true)
  write(disk, at('old'), 'r+', 'NEW', 0, true)
  write(disk, at('old'), 'a', ' lost')
  disk.rename(at('sub', 'unnamed'), at('entered'))
  sync(disk, root)
  disk.cut('all')
  assert.deepEqual(content(root), { entered: 'bytes are', named: '', old: 'NEW bytes', sub: null })
})

test('the first half of a write', (t) => {
  const { disk, at } = begin(t)
  linkSync(at('old'), at('kept'))
  const descriptor = disk.open(at('old'), 'r+')
  disk.writeHalf(descriptor, Buffer.from('ABCD'), 0)
  closeSync(descriptor)
  assert.equal(readFileSync(at('old'), 'utf8'), 'ABd bytes')
})
