import assert from 'node:assert/strict'
import { test } from 'node:test'
import { amzDate, encodeKey, encodeStrict, Signer } from './sign.ts'

const KEYS = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' }
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** The first example of AWS's own description of Signature Version 4 for S3: GET of a range. */
function exampleOf(signer: Signer, secretAccessKey = KEYS.secretAccessKey): string {
  return signer.sign({ ...KEYS, secretAccessKey }, '20130524T000000Z', {
    method: 'GET',
    path: '/test.txt',
    query: '',
    headers: [
      ...['host', 'examplebucket.s3.amazonaws.com', 'range', 'bytes=0-9'],
      ...['x-amz-content-sha256', EMPTY, 'x-amz-date', '20130524T000000Z'],
    ],
    payloadHash: EMPTY,
  })
}

const EXPECTED =
  'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, ' +
  'SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, ' +
  'Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41'

test('the published example', () => {
  assert.equal(exampleOf(new Signer('us-east-1')), EXPECTED)
})

test('the published example of a presigned URL', () => {
  const query = new Signer('us-east-1').presign(KEYS, '20130524T000000Z', {
    host: 'examplebucket.s3.amazonaws.com',
    path: '/test.txt',
    seconds: 86_400,
    query: [],
  })
  assert.equal(
    query,
    'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request' +
      '&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
      '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
  )
})

test('a presigned URL has its parts in the order that is signed, with temporary keys and what the answer is to say', () => {
  const query = new Signer('us-east-1').presign({ ...KEYS, sessionToken: 'for/a+while' }, '20130524T000000Z', {
    host: 'h',
    path: '/k',
    seconds: 60,
    query: [
      'response-content-disposition',
      `attachment; filename*=UTF-8''a%20b`,
      'response-content-type',
      'a/b; c="d"',
    ],
  })
  const pairs = query.split('&').slice(0, -1)
  assert.deepEqual(pairs, pairs.toSorted())
  const read = new URLSearchParams(query)
  assert.equal(read.get('X-Amz-Security-Token'), 'for/a+while')
  assert.equal(read.get('response-content-disposition'), `attachment; filename*=UTF-8''a%20b`)
  assert.doesNotMatch(query, /[+'*]/, 'every sign that RFC 3986 reserves is encoded')
})

test('the signing key that is kept follows secret and day', () => {
  const signer = new Signer('us-east-1')
  assert.equal(exampleOf(signer), EXPECTED)
  assert.notEqual(exampleOf(signer, 'another'), EXPECTED)
  const nextDay = { method: 'PUT', path: '/k', query: '', headers: ['host', 'h'], payloadHash: EMPTY }
  signer.sign(KEYS, '20130525T000000Z', nextDay)
  assert.equal(exampleOf(signer), EXPECTED)
})

test('keys and multipart ids are encoded as they are signed', () => {
  assert.equal(encodeKey('uploads/ab/0190-x.y_z~'), 'uploads/ab/0190-x.y_z~')
  assert.equal(encodeKey("a b/c+d/é(1)!*'"), 'a%20b/c%2Bd/%C3%A9%281%29%21%2A%27')
  assert.equal(encodeStrict('id/with=and+&'), 'id%2Fwith%3Dand%2B%26')
})

test('dates', () => {
  assert.equal(amzDate(Date.UTC(2026, 0, 2, 3, 4, 5, 999)), '20260102T030405Z')
  assert.equal(amzDate(Date.UTC(2026, 0, 2, 3, 4, 6)), '20260102T030406Z')
})
