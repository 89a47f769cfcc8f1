import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UPLOAD_STATES } from '../server/uploads/states.ts'
import { parseEvent, toMessage } from './events.ts'
import { anEvent, anUpload } from './testing.ts'

/** What comes out of a queue: JSON there and back. */
function body(change: object = {}, payload: object = {}): unknown {
  const message = toMessage(anEvent('upload.uploaded'))
  const text = JSON.parse(JSON.stringify(message.body))
  return { ...text, ...change, payload: { ...text.payload, ...payload } }
}

describe('events at the boundary', () => {
  it('every state has its event, and it passes', () => {
    for (const state of UPLOAD_STATES) {
      const upload = anUpload({ state, filename: 'käse.txt', metadata: { a: '1' } })
      const event = anEvent(`upload.${state}`, upload)
      const { id, name, body } = toMessage(event)
      const parsed = parseEvent(JSON.parse(JSON.stringify(body)))
      assert.equal(id, event.eventId)
      assert.equal(name, `upload.${state}`)
      assert.equal(parsed.type, `upload.${state}`)
      assert.equal(parsed.id, event.eventId)
      assert.equal(parsed.uploadId, upload.id)
      assert.equal(parsed.at, event.createdAt)
      assert.deepEqual(parsed.payload, event.payload)
    }
  })

  it('drops members that a newer version added', () => {
    const parsed = parseEvent(body({ colour: 'red' }, { shape: 'round' }))
    assert.equal('colour' in parsed, false)
    assert.equal('shape' in parsed.payload, false)
  })

  it('refuses what is no event, and says where', () => {
    assert.throws(() => parseEvent(null), /no event/)
    assert.throws(() => parseEvent(body({ type: 'upload.eaten' })), /type/)
    assert.throws(() => parseEvent(body({ uploadId: '../../etc' })), /uploadId: not an upload id/)
    assert.throws(() => parseEvent(body({ id: 7 })), /id/)
    assert.throws(() => parseEvent(body({ seq: 0 })), /seq/)
    assert.throws(() => parseEvent(body({}, { owner: undefined })), /payload\.owner/)
    assert.throws(() => parseEvent(body({}, { objectKey: null })), /payload\.objectKey/)
    assert.throws(() => parseEvent(body({}, { state: 'eaten' })), /payload\.state/)
  })
})
