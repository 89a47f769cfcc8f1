import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failureText, formatBytes, formatShare } from './format.js'

test('bytes are shown as people read them', () => {
  const shown = [0, 1, 1023, 1024, 1536, 104_857_600, 1023.9 * 1024, 5 * 1024 ** 4].map(formatBytes)
  assert.deepEqual(shown, ['0 B', '1 B', '1023 B', '1 KB', '1.5 KB', '100 MB', '1 MB', '5 TB'])
})

test('a share is rounded down: 100 % is the end', () => {
  assert.equal(formatShare(0, 1000), '0 % of 1000 B')
  assert.equal(formatShare(999, 1000), '99 % of 1000 B')
  assert.equal(formatShare(1000, 1000), '100 % of 1000 B')
  assert.equal(formatShare(0, 0), '100 % of 0 B')
})

test('a failure is told in the words of the service', () => {
  const problem = JSON.stringify({ title: 'Too large', detail: 'At most 10 bytes.', code: 'too_large' })
  assert.equal(failureText(413, problem), 'Too large. At most 10 bytes.')
  assert.equal(failureText(413, 'too_large: Too large. At most 10 bytes.\n'), 'Too large. At most 10 bytes.')
})

test('a failure without such words still says something', () => {
  assert.match(failureText(0, ''), /cannot be reached/)
  assert.match(failureText(401, 'whatever'), /access token/)
  assert.equal(failureText(502, '<html><body>Bad Gateway</body></html>'), 'The service answered 502.')
  assert.equal(failureText(500, ''), 'The service answered 500.')
  assert.equal(failureText(500, '{}'), 'The service answered 500.')
})
