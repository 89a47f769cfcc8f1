import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUploadId } from '../../uploads/id.ts'
import type { Message } from '../../uploads/ports/coordination.ts'
import { decodeKept, decodeMessage, decodeParts, decodePeek, decodeTaken, encodeMessage } from './codec.ts'

test('a message this version does not know is nothing to it', () => {
  const upload = newUploadId()
  const known: Message[] = [
    { type: 'release', upload, from: 'one' },
    { type: 'flush', upload, from: 'one' },
    { type: 'free', upload },
    { type: 'offset', upload, offset: 0 },
  ]
  for (const message of known) assert.deepEqual(decodeMessage(encodeMessage(message)), message)
  const strange = [
    '',
    '{',
    'null',
    '7',
    '{"type":"free"}',
    '{"type":"free","upload":"../etc"}',
    `{"type":"release","upload":"${upload}"}`,
    `{"type":"offset","upload":"${upload}","offset":"7"}`,
    `{"type":"later","upload":"${upload}"}`,
  ]
  for (const text of strange) assert.equal(decodeMessage(text), null, text)
})

test('an answer this version cannot read is an internal error, never a wrong session', () => {
  const session = ['1', 'm', '0', '7', '[]', '0']
  assert.equal(decodeTaken(['clean', ...session]).kind, 'clean')
  const bad = [
    () => decodeTaken(['clean', ...session.slice(0, 5)]),
    () => decodeTaken(['clean', ...session.with(3, '9007199254740993')]),
    () => decodeTaken(['clean', ...session.with(3, '1e3')]),
    () => decodeTaken(['clean', ...session.with(4, '[[1,2,3,4]]')]),
    () => decodeTaken(['taken']),
    () => decodeTaken('rebuild'),
    () => decodePeek(['free', null]),
    () => decodeParts(['kept', ['1', 'bytes:crc:etag']]),
    () => decodeKept(null),
  ]
  for (const read of bad) assert.throws(read, { code: 'internal' }, String(read))
})
