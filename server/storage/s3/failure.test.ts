import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asFailure, S3Failure } from './failure.ts'

const answered = (status: number, code: string): S3Failure =>
  new S3Failure({ status, code, message: 'as planned', sent: true })
const socketError = (code: string): Error => Object.assign(new Error(code), { code })

test('only what was sent and got no answer of the store is unanswered', () => {
  assert.ok(asFailure(socketError('ECONNRESET')).unanswered)
  assert.ok(answered(502, 'Unknown').unanswered)
  assert.ok(answered(504, 'Unknown').unanswered)
  for (const code of ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'])
    assert.ok(!asFailure(socketError(code)).unanswered, code)
  assert.ok(!answered(500, 'InternalError').unanswered)
  assert.ok(!answered(503, 'SlowDown').unanswered)
  const noKeys = Object.assign(new Error('no keys'), { name: 'CredentialsProviderError' })
  assert.ok(!asFailure(noKeys).unanswered)
})

test('what passes is tried again', () => {
  assert.ok(asFailure(socketError('ECONNREFUSED')).retryable)
  assert.ok(answered(503, 'SlowDown').retryable)
  assert.ok(answered(409, 'OperationAborted').retryable)
  assert.ok(!answered(403, 'AccessDenied').retryable)
  assert.ok(!answered(501, 'NotImplemented').retryable)
})

test('what an operator can undo is unavailable; an answer that should not be is internal', () => {
  const codeOf = (failure: S3Failure): string => failure.toUploadError('PutObject k').code
  assert.equal(codeOf(answered(503, 'SlowDown')), 'store_unavailable')
  assert.equal(codeOf(answered(403, 'AccessDenied')), 'store_unavailable')
  assert.equal(codeOf(answered(404, 'NoSuchBucket')), 'store_unavailable')
  assert.equal(codeOf(answered(400, 'BadDigest')), 'internal')
  assert.equal(codeOf(answered(400, 'InvalidArgument')), 'internal')
})

test('no object of the SDK hides in a failure', () => {
  const sdk = Object.assign(new Error('throttled'), {
    name: 'SlowDown',
    $metadata: { httpStatusCode: 503, requestId: 'r1' },
    $response: { statusCode: 503, body: { socket: {} } },
  })
  const failure = asFailure(sdk)
  assert.deepEqual({ ...failure }, { name: 'S3Failure', status: 503, code: 'SlowDown', requestId: 'r1', sent: true })
  assert.equal(failure.cause, undefined)
})
