import assert from 'node:assert/strict'
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { combineCrc32s } from '../../uploads/crc32.ts'
import { hasCode } from '../../uploads/errors.ts'
import { listed, piece, readAll } from '../contract.ts'
import { FileByteStore } from './index.ts'

const internal = (error: unknown): boolean => hasCode(error, 'internal')
const text = (words: string) => piece(Buffer.from(words))

/** A root of its own, and as many stores on it as a test likes: as processes of one machine are. */
async function freshRoot(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'file-store-'))
  t.after(() => rm(root, { recursive: true }))
  return root
}

/** Everything below a folder, files and folders. */
async function tree(folder: string): Promise<string[]> {
  return (await readdir(folder, { recursive: true })).sort()
}

test('keys outside the alphabet are refused by every verb, and nothing is written', async (t) => {
  const root = await freshRoot(t)
  const store = await FileByteStore.open({ root })
  const before = await tree(root)
  for (const key of [
    '',
    '/',
    '../x',
    'a/../../x',
    'a//b',
    '/abs',
    'a/',
    '.hidden',
    'a/.b',
    'a\\b',
    'a b',
    'a\0b',
    'é',
    'x'.repeat(300),
  ]) {
    await assert.rejects(store.putObject(key, text('x')), internal, key)
    await assert.rejects(store.createMultipart(key, 10), internal, key)
    await assert.rejects(store.head(key), internal, key)
    await assert.rejects(store.read(key), internal, key)
    await assert.rejects(store.remove([key]), internal, key)
  }
  await assert.rejects(listed(store, '../'), internal)
  assert.equal(await store.listParts('a', '../../objects'), null)
  assert.equal(await store.uploadPart('a', '..', 1, text('x')), null)
  assert.deepEqual(await tree(root), before)
})

test('a symbolic link under the root is not followed', async (t) => {
  const root = await freshRoot(t)
  const store = await FileByteStore.open({ root })
  const outside = join(root, 'outside')
  await mkdir(outside)
  await writeFile(join(outside, 'secret'), 'secret')
  await symlink(outside, join(root, 'objects', 'linked'))
  await symlink(join(outside, 'secret'), join(root, 'objects', 'file'))
  await assert.rejects(store.putObject('linked/new', text('x')), internal)
  await assert.rejects(store.read('linked/secret'), internal)
  await assert.rejects(store.head('file'), internal)
  await assert.rejects(store.remove(['linked/secret']), internal)
  assert.deepEqual(await listed(store, ''), [])
  const id = await store.createMultipart('linked/multi', 10)
  const part = await store.uploadPart('linked/multi', id, 1, text('x'))
  assert.ok(part)
  await assert.rejects(store.completeMultipart('linked/multi', id, [part], { bytes: 1, crc32: null }), internal)
  assert.deepEqual(await readdir(outside), ['secret'])
})

test('what one process acknowledged the next one finds, without the line that a crash tore', async (t) => {
  const root = await freshRoot(t)
  const first = await FileByteStore.open({ root })
  const id = await first.createMultipart('up/one', 4)
  const one = await first.uploadPart('up/one', id, 1, text('aaaa'))
  const two = await first.uploadPart('up/one', id, 2, text('bbbb'))
  const journal = join(root, 'multipart', id, 'journal')
  const torn = (await readFile(journal)).subarray(0, -9)
  await writeFile(journal, torn)

  const second = await FileByteStore.open({ root })
  assert.deepEqual(await second.listParts('up/one', id), [one])
  const again = await second.uploadPart('up/one', id, 2, text('cccc'))
  const three = await second.uploadPart('up/one', id, 3, text('d'))
  assert.ok(one && two && again && three)
  assert.deepEqual(await second.listParts('up/one', id), [one, again, three])
  const parts = [one, again, three]
  assert.equal(
    await second.completeMultipart('up/one', id, [one, two, three], { bytes: 9, crc32: null }),
    'invalid-part',
  )
  assert.equal(await second.completeMultipart('up/one', id, parts, { bytes: 9, crc32: combineCrc32s(parts) }), 'done')
  assert.equal((await readAll(second, 'up/one')).toString(), 'aaaaccccd')
  assert.equal(await first.completeMultipart('up/one', id, parts, { bytes: 9, crc32: null }), 'no-such-upload')
  assert.deepEqual(await readdir(join(root, 'multipart')), [])
})

test('a writer that wakes up after the finish cannot change the object', async (t) => {
  const root = await freshRoot(t)
  const store = await FileByteStore.open({ root })
  const id = await store.createMultipart('up/zombie', 4)
  const folder = join(root, 'multipart', id)
  // As a process is that claimed its place, has `data` open, and stands still.
  await writeFile(join(folder, 'claims', '1'), '')
  await writeFile(join(folder, 'claims', '3'), '')
  const zombie = await open(join(folder, 'data'), 'r+')
  const one = await store.uploadPart('up/zombie', id, 1, text('good'))
  const two = await store.uploadPart('up/zombie', id, 2, text('last'))
  assert.ok(one && two)
  assert.equal(await store.completeMultipart('up/zombie', id, [one, two], { bytes: 8, crc32: null }), 'done')
  await zombie.write(Buffer.from('EVIL'), 0, 4, 0)
  await zombie.write(Buffer.from('EVIL'), 0, 4, 8)
  await zombie.close()
  assert.equal((await readAll(store, 'up/zombie')).toString(), 'goodlast')
})

test('an upload that was never disturbed is renamed, not copied', async (t) => {
  const root = await freshRoot(t)
  const store = await FileByteStore.open({ root })
  const id = await store.createMultipart('up/renamed', 4)
  const data = await open(join(root, 'multipart', id, 'data'), 'r')
  const one = await store.uploadPart('up/renamed', id, 1, text('once'))
  assert.ok(one)
  assert.equal(await store.completeMultipart('up/renamed', id, [one], { bytes: 4, crc32: null }), 'done')
  const object = await open(join(root, 'objects', 'up', 'renamed'), 'r')
  assert.equal((await object.stat()).ino, (await data.stat()).ino)
  await data.close()
  await object.close()
})

test('parts larger than agreed, and numbers that are none, are refused', async (t) => {
  const root = await freshRoot(t)
  const store = await FileByteStore.open({ root })
  const id = await store.createMultipart('up/large', 4)
  await assert.rejects(store.uploadPart('up/large', id, 1, text('12345')), internal)
  for (const number of [0, -1, 1.5, 1_000_001])
    await assert.rejects(store.uploadPart('up/large', id, number, text('1')), internal)
  assert.equal(await store.uploadPart('up/other', id, 1, text('1')), null, 'an id of another key')
})

test('a start clears what a crash left, and nothing that may be at work', async (t) => {
  const root = await freshRoot(t)
  const first = await FileByteStore.open({ root })
  const id = await first.createMultipart('up/kept', 4)
  await first.uploadPart('up/kept', id, 1, text('kept'))
  const long = new Date(Date.now() - 7_200_000)
  await writeFile(join(root, 'incoming', 'old'), 'x')
  await utimes(join(root, 'incoming', 'old'), long, long)
  await writeFile(join(root, 'incoming', 'young'), 'x')
  await mkdir(join(root, 'trash', 'gone', 'claimed'), { recursive: true })
  const second = await FileByteStore.open({ root })
  assert.deepEqual(await readdir(join(root, 'incoming')), ['young'])
  assert.deepEqual(await readdir(join(root, 'trash')), [])
  assert.equal((await second.listParts('up/kept', id))?.length, 1)
})

test('a round of the sweeper clears puts that were cut off while the store stayed open', async (t) => {
  const root = await freshRoot(t)
  const store = await FileByteStore.open({ root })
  const long = new Date(Date.now() - 7_200_000)
  await writeFile(join(root, 'incoming', 'old'), 'x')
  await utimes(join(root, 'incoming', 'old'), long, long)
  await writeFile(join(root, 'incoming', 'young'), 'x')
  for await (const open of store.multiparts('')) assert.fail(`nothing is open, and not ${open.key}`)
  assert.deepEqual(await readdir(join(root, 'incoming')), ['young'])
})

test('a multipart upload that a crash left half ended, or never whole, is cleared; one that is being made is not', async (t) => {
  const root = await freshRoot(t)
  const store = await FileByteStore.open({ root })
  const at = (id: string, ...names: string[]) => join(root, 'multipart', id, ...names)
  const ended = await store.createMultipart('up/ended', 4)
  await rename(at(ended, 'data'), join(root, 'objects', 'moved'))
  const open = await store.createMultipart('up/open', 4)
  const [young, old] = ['ab', 'cd'].map((digits) => digits.repeat(16))
  assert.ok(young && old)
  for (const id of [young, old]) await mkdir(at(id))
  const long = new Date(Date.now() - 7_200_000)
  await utimes(at(old), long, long)
  const found: string[] = []
  for await (const { multipartId } of store.multiparts('up/')) found.push(multipartId)
  assert.deepEqual(found, [open])
  assert.deepEqual((await readdir(join(root, 'multipart'))).sort(), [open, young].sort())
  assert.deepEqual(await readdir(join(root, 'trash')), [])
})

test('the folder of an upload goes with its last object', async (t) => {
  const root = await freshRoot(t)
  const store = await FileByteStore.open({ root })
  const other = await FileByteStore.open({ root })
  await store.putObject('up/ab/id/1', text('1'))
  await store.putObject('up/ab/id/2', text('2'))
  await store.remove(['up/ab/id/1'])
  assert.deepEqual(await tree(join(root, 'objects')), ['up', 'up/ab', 'up/ab/id', 'up/ab/id/2'])
  await other.remove(['up/ab/id/2'])
  assert.deepEqual(await tree(join(root, 'objects')), ['up', 'up/ab'])
  // `store` still believes that the folder is there.
  await store.putObject('up/ab/id/3', text('3'))
  assert.equal((await readAll(other, 'up/ab/id/3')).toString(), '3')
})

test('reads take as many bytes at a time as they are told to', async (t) => {
  const root = await freshRoot(t)
  const store = await FileByteStore.open({ root, readHighWaterMark: 1000 })
  await store.putObject('read/one', piece(Buffer.alloc(10_500)))
  const stream = await store.read('read/one')
  assert.ok(stream)
  assert.equal(stream.readableHighWaterMark, 1000)
  const sizes: number[] = []
  for await (const chunk of stream) sizes.push(chunk.length)
  assert.deepEqual(sizes, [...Array<number>(10).fill(1000), 500])
})

test('a root that is no folder is unavailable', async (t) => {
  const root = await freshRoot(t)
  await rm(join(root, 'file'), { force: true })
  await writeFile(join(root, 'file'), 'x')
  await assert.rejects(FileByteStore.open({ root: join(root, 'file') }))
  const store = await FileByteStore.open({ root: join(root, 'store') })
  await rm(join(root, 'store'), { recursive: true })
  await assert.rejects(store.ping(), (error) => hasCode(error, 'store_unavailable'))
})
