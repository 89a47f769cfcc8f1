import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode } from '../../uploads/errors.ts'
import { bucketOf, isPerTenant } from './bucket-name.ts'

test('a bucket for all is what it is', () => {
  assert.ok(!isPerTenant('Up_loads'))
  assert.equal(bucketOf('Up_loads', 'acme'), 'Up_loads')
})

test("a tenant's bucket has its name in it", () => {
  assert.equal(bucketOf('uploads-{tenant}', 'acme'), 'uploads-acme')
  assert.equal(bucketOf('up.{tenant}.eu', '7'), 'up.7.eu')
})

test('a name that S3 would not take, or take for something else, is refused with the reason', () => {
  for (const [template, tenant] of [
    ['uploads-{tenant}', 'x'.repeat(56)],
    ['uploads-{tenant}', 'acme-'],
    ['{tenant}-uploads', '-acme'],
    ['{tenant}--', 'a'],
    ['{tenant}-x', 'xn--a'],
    ['u-{tenant}', 'b-s3alias'],
    ['10.0.0.{tenant}', '1'],
    ['u.{tenant}.', 'a'],
  ] as const) {
    assert.throws(
      () => bucketOf(template, tenant),
      (error) => hasCode(error, 'store_unavailable') && error.message.includes('no name that S3 takes'),
      `${template} of ${tenant}`,
    )
  }
})
