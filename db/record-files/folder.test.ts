import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { newUploadId } from '../../server/uploads/id.ts'
import { cuttableFolder } from '../../test/support/fs-faults/in-process.ts'
import { RecordFolder } from './folder.ts'

async function texts(folder: RecordFolder): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for await (const { files } of folder.read()) for (const { id, text } of files) found.set(id, text)
  return found
}

for (const cut of ['all', 'bytes'] as const) {
  test(`what was written survives a power cut that takes back ${cut} unsynced`, async (t) => {
    const power = await cuttableFolder(t)
    const folder = await RecordFolder.open(join(power.dir, 'records'))
    const [first, second] = [newUploadId(), newUploadId()]
    await folder.write(first, 'older')
    await folder.write(second, 'only')
    await folder.write(first, 'newer')
    power.cut(cut)
    const expected = new Map([
      [first, 'newer'],
      [second, 'only'],
    ])
    assert.deepEqual(await texts(folder), expected)
  })
}
