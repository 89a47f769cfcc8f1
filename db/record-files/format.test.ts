import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { newUploadId } from '../../server/uploads/id.ts'
import { parseRecord, spellRecord } from './format.ts'

const id = newUploadId()
const row = { id, generation: 3, next_seq: 5, state: 'receiving', metadata: { name: 'é\n', ['__proto__']: 'x' } }
const events = [{ event_id: 'e', upload_id: id, seq: 4, payload: { at: 'then' } }]
const text = spellRecord(row, events)

test('a record comes back as it was written', () => {
  const { row: again, ...rest } = parseRecord(text)
  assert.equal(JSON.stringify(again), JSON.stringify(row))
  assert.deepEqual(rest, { id, generation: 3, nextSeq: 5, events })
})

test('a record that was cut at any byte, or with any byte changed, is none', () => {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at++) {
    assert.throws(() => parseRecord(bytes.subarray(0, at).toString()), Error, `cut at ${at}`)
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 1
    assert.throws(() => parseRecord(changed.toString()), Error, `changed at ${at}`)
  }
  assert.throws(() => parseRecord(`${text}\n`))
  assert.throws(() => parseRecord('\0'.repeat(bytes.length)))
})

test('what is no record says why', () => {
  const spelled = (version: number, body: string) =>
    `upload-service record ${version} crc32 ${crc32(body).toString(16).padStart(8, '0')}\n${body}\n`
  const whole = JSON.stringify({ row, events })
  assert.throws(() => parseRecord(spelled(2, whole)), /of version 2, and this is a service of 1/)
  assert.throws(() => parseRecord('hello'), /does not begin as a record/)
  assert.throws(() => parseRecord(spelled(1, '{}')), /no row/)
  assert.throws(() => parseRecord(spelled(1, 'null')), /no row/)
  assert.throws(() => parseRecord(spelled(1, JSON.stringify({ row: { ...row, id: '../x' }, events }))), /no upload id/)
  assert.throws(() => parseRecord(spelled(1, JSON.stringify({ row: { ...row, next_seq: '5' }, events }))), /next_seq/)
  assert.throws(() => parseRecord(spelled(1, JSON.stringify({ row, events: [7] }))), /events/)
  assert.throws(() => spellRecord({ id }, []), /generation/)
})
