/** Checksum and concatenation as a client uses them; the same on every store. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { pathOf, sampleBytes, type Tus } from '../support/tus.ts'

export async function extensionsWork(tus: Tus): Promise<void> {
  const { headers } = await tus.options()
  const extensions = headers['tus-extension']?.split(',') ?? []
  for (const one of ['checksum', 'concatenation']) assert.ok(extensions.includes(one), `${one} is not in ${extensions}`)

  const bytes = sampleBytes(20_000, 'peers-extensions')
  const sum = `sha1 ${createHash('sha1').update(bytes).digest('base64')}`
  const path = await tus.create({ length: bytes.length })
  const wrong = await tus.patch(path, 0, Buffer.alloc(bytes.length), { 'Upload-Checksum': sum })
  assert.equal(wrong.status, 460)
  await tus.standsAt(path, 0, bytes.length)
  assert.equal((await tus.patch(path, 0, bytes, { 'Upload-Checksum': sum })).status, 204)
  await tus.contentIs(path, bytes)

  const halves = [bytes.subarray(0, 9_000), bytes.subarray(9_000)]
  const partials: string[] = []
  for (const half of halves) {
    const partial = await tus.create({ length: half.length, headers: { 'Upload-Concat': 'partial' } })
    assert.equal((await tus.patch(partial, 0, half)).status, 204)
    partials.push(partial)
  }
  const final = await tus.post({ headers: { 'Upload-Concat': `final;${partials.join(' ')}` } })
  assert.equal(final.status, 201, `${final.status}: ${final.body}`)
  await tus.contentIs(pathOf(final, tus.origin), bytes)
}
