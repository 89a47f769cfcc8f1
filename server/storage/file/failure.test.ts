import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UploadError } from '../../uploads/errors.ts'
import { asUploadError, isMissing } from './failure.ts'

const failing = (code: string): Error => Object.assign(new Error(`${code}: as planned`), { code })

test('what an operator can undo is unavailable, anything else is internal', () => {
  for (const code of ['ENOSPC', 'EIO', 'EROFS', 'EACCES', 'EMFILE', 'EDQUOT']) {
    const error = asUploadError('Writing x', failing(code))
    assert.equal(error.code, 'store_unavailable')
    assert.match(error.message, /Writing x failed/)
  }
  assert.equal(asUploadError('Writing x', failing('EISDIR')).code, 'internal')
  assert.equal(asUploadError('Writing x', 'a string').code, 'internal')
  const ours = new UploadError('internal', 'ours')
  assert.equal(asUploadError('Writing x', ours), ours)
})

test('missing means the file or a folder on the way', () => {
  assert.ok(isMissing(failing('ENOENT')))
  assert.ok(isMissing(failing('ENOTDIR')))
  assert.ok(!isMissing(failing('EACCES')))
})
