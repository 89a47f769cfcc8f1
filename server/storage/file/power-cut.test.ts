import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { cuttableFolder } from '../../../test/support/fs-faults/in-process.ts'
import { listed, piece, readAll } from '../contract.ts'
import { FileByteStore } from './index.ts'

const text = (words: string) => piece(Buffer.from(words))

for (const cut of ['all', 'bytes'] as const) {
  test(`what was acknowledged survives a power cut that takes back ${cut} unsynced`, async (t) => {
    const power = await cuttableFolder(t)
    const root = join(power.dir, 'store')
    const store = await FileByteStore.open({ root })
    await store.putObject('up/ab/one', text('one'))
    await store.putObject('up/cd/gone', text('gone'))
    await store.remove(['up/cd/gone'])
    const open = await store.createMultipart('up/ab/open', 4)
    const first = await store.uploadPart('up/ab/open', open, 1, text('abcd'))
    await store.uploadPart('up/ab/open', open, 2, text('xxxx'))
    const again = await store.uploadPart('up/ab/open', open, 2, text('efg'))
    const whole = await store.createMultipart('up/ef/whole', 4)
    const parts = [await store.uploadPart('up/ef/whole', whole, 1, text('all'))].filter((part) => part !== null)
    assert.equal(await store.completeMultipart('up/ef/whole', whole, parts, { bytes: 3, crc32: null }), 'done')
    const patched = await store.createMultipart('up/ef/patched', 4)
    await store.uploadPart('up/ef/patched', patched, 1, text('no'))
    const better = [await store.uploadPart('up/ef/patched', patched, 1, text('yes'))].filter((part) => part !== null)
    assert.equal(await store.completeMultipart('up/ef/patched', patched, better, { bytes: 3, crc32: null }), 'done')
    power.cut(cut)

    const after = await FileByteStore.open({ root })
    assert.deepEqual((await listed(after, 'up/')).map(({ key }) => key).sort(), [
      'up/ab/one',
      'up/ef/patched',
      'up/ef/whole',
    ])
    assert.equal((await readAll(after, 'up/ab/one')).toString(), 'one')
    assert.equal((await readAll(after, 'up/ef/whole')).toString(), 'all')
    assert.equal((await readAll(after, 'up/ef/patched')).toString(), 'yes')
    assert.deepEqual(await after.listParts('up/ab/open', open), [first, again])
    assert.ok(first && again)
    assert.equal(await after.completeMultipart('up/ab/open', open, [first, again], { bytes: 7, crc32: null }), 'done')
    assert.equal((await readAll(after, 'up/ab/open')).toString(), 'abcdefg')
  })
}
