import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UploadError } from '../server/uploads/errors.ts'
import { asUploadError, guarded } from './failures.ts'

function withCode(code: string): Error {
  return Object.assign(new Error('refused'), { code })
}

const passing = [
  ...['08006', '08P01', '53300', '57P01', '57P03', '57014', '40001', '40P01', '25006', '42P01'].map(withCode),
  ...['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND'].map(withCode),
  ...['CERT_HAS_EXPIRED', 'SELF_SIGNED_CERT_IN_CHAIN', 'ERR_TLS_CERT_ALTNAME_INVALID'].map(withCode),
  new AggregateError([withCode('ECONNREFUSED')]),
  new Error('Connection terminated unexpectedly'),
  new Error('Connection terminated due to connection timeout'),
  new Error('timeout exceeded when trying to connect'),
  new Error('Cannot use a pool after calling end on the pool'),
  new Error('driver has already been destroyed'),
  AbortSignal.abort().reason,
]

test("what passes by itself is records_unavailable, with the driver's error as cause", () => {
  for (const error of passing) {
    const ours = asUploadError(error)
    assert.equal(ours.code, 'records_unavailable', String(error))
    assert.equal(ours.cause, error)
  }
})

test('anything else is internal: waiting would not help', () => {
  for (const error of [withCode('23505'), withCode('42703'), withCode('28P01'), new TypeError('x'), 'text', null]) {
    const ours = asUploadError(error)
    assert.equal(ours.code, 'internal', String(error))
    assert.equal(ours.cause, error)
  }
})

test('an error that is ours already stays itself', async () => {
  const ours = new UploadError('query_invalid', 'x')
  const thrown = guarded(() => Promise.reject(ours))
  await assert.rejects(thrown, (error) => error === ours)
})
