import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ERROR_CODES, UploadError } from '../uploads/errors.ts'
import { answerFor, answerTo } from './answer.ts'
import { problemOf, tusTextOf } from './forms.ts'
import { ERROR_TABLE, type ErrorRule } from './table.ts'

test('no code makes a HEAD say 5xx, 429 or 408', () => {
  for (const code of ERROR_CODES) {
    const { status, headers } = answerFor(code, 'HEAD')
    assert.ok(status >= 400 && status < 500 && status !== 429 && status !== 408, `${code}: ${status}`)
    if (status === 423) assert.match(headers['Retry-After'] ?? '', /^[1-9]\d*$/, code)
    assert.equal(headers['Upload-Offset'], undefined)
  }
})

test('what is away is 503 with Retry-After for any other verb', () => {
  for (const code of [
    'store_unavailable',
    'records_unavailable',
    'coordination_unavailable',
    'shutting_down',
  ] as const) {
    for (const verb of ['PATCH', 'DELETE', 'POST', 'GET']) {
      const answer = answerFor(code, verb)
      assert.equal(answer.status, 503)
      assert.match(answer.headers['Retry-After'] ?? '', /^[1-9]/)
    }
  }
})

test('a 4xx that may pass is one that tus-js-client tries again: 409, 423, or a body that nobody waits for', () => {
  for (const code of ERROR_CODES) {
    const rule: ErrorRule = ERROR_TABLE[code]
    if (!rule.retryable || rule.status >= 500) continue
    const unheard = ['body_cut', 'request_timeout', 'upload_not_finished'].includes(code)
    assert.ok(unheard || rule.status === 409 || rule.status === 423, `${code}: ${rule.status}`)
  }
})

test('a hook chooses among 4xx, and nothing else', () => {
  assert.equal(answerFor('refused_by_hook', 'POST', { status: 422 }).status, 422)
  for (const status of [200, 302, 500, 399.5, 'x', Number.NaN]) {
    assert.equal(answerFor('refused_by_hook', 'POST', { status }).status, 403)
  }
})

test('a file that is still processed is a 409, an unfinished upload has none: 404', () => {
  assert.equal(answerFor('upload_not_finished', 'GET', { state: 'processing' }).status, 409)
  assert.equal(answerFor('upload_not_finished', 'GET', { state: 'receiving' }).status, 404)
  assert.equal(answerFor('upload_not_finished', 'GET').status, 404)
})

test('facts become headers', () => {
  assert.equal(answerFor('range_not_satisfiable', 'GET', { bytes: 7 }).headers['Content-Range'], 'bytes */7')
  assert.equal(answerFor('method_not_allowed', 'PUT', { allow: 'GET' }).headers.Allow, 'GET')
  assert.equal(answerFor('offset_mismatch', 'PATCH', { offset: 3 }).headers['Upload-Offset'], '3')
  assert.equal(answerFor('unauthenticated', 'GET').headers['WWW-Authenticate'], 'Bearer')
  assert.equal(answerFor('version_unsupported', 'POST').headers['Tus-Version'], '1.0.0')
})

test('the client’s faults are told in full, ours are not', () => {
  const secret = new Error('password is hunter2')
  const theirs = answerTo(new UploadError('offset_invalid', 'Upload-Offset is "x".'), 'PATCH')
  assert.equal(problemOf(theirs, 'r1').detail, 'Upload-Offset is "x".')
  assert.equal(problemOf(theirs, 'r1').requestId, 'r1')
  for (const error of [secret, new UploadError('store_unavailable', 'hunter2 at 10.0.0.1', { cause: secret })]) {
    const ours = answerTo(error, 'PATCH')
    assert.doesNotMatch(JSON.stringify(problemOf(ours)) + tusTextOf(ours), /hunter2/)
  }
})
