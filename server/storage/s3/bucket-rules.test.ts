import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LifecycleRule } from '@aws-sdk/client-s3'
import { type BucketFacts, findingsOf, type OurKeys } from './bucket-rules.ts'

const DAY = 86_400_000
const OURS: OurKeys = { objects: ['uploads/'], tails: 'uploads-tails/', expiresAfterMs: 7 * DAY, tags: {} }
const QUIET: BucketFacts = { versioning: 'off', retention: 'off', lifecycle: [] }

function found(facts: Partial<BucketFacts>, ours: Partial<OurKeys> = {}): string[] {
  return findingsOf({ ...QUIET, ...facts }, { ...OURS, ...ours }).map(({ kind, message }) => `${kind}: ${message}`)
}

/** The kinds of the findings about one enabled rule. */
function kinds(rule: Partial<LifecycleRule>, ours: Partial<OurKeys> = {}): string {
  const lifecycle = [{ ID: 'r', Status: 'Enabled' as const, ...rule }]
  return found({ lifecycle }, ours)
    .map((finding) => finding.split(':')[0])
    .join()
}

test('a bucket that does nothing by itself, or does not say, is well', () => {
  assert.deepEqual(found({}), [])
  assert.deepEqual(found({ versioning: null, retention: null, lifecycle: null }), [])
})

test('multipart uploads must live as long as an upload may rest', () => {
  const abort = (DaysAfterInitiation: number) => ({ AbortIncompleteMultipartUpload: { DaysAfterInitiation } })
  assert.equal(kinds({ ...abort(6), Filter: { Prefix: '' } }), 'danger')
  assert.equal(kinds({ ...abort(6), Filter: { Prefix: 'uploads/' } }), 'danger')
  assert.equal(kinds({ ...abort(6), Prefix: 'upl' }), 'danger', 'the old place of the prefix')
  assert.equal(kinds({ ...abort(6), Filter: { Prefix: 'uploads/00/' } }), 'danger', 'part of them is enough')
  assert.equal(kinds({ ...abort(6), Filter: { Prefix: 'uploads-tails/' } }), '', 'there are no multipart uploads')
  assert.equal(kinds({ ...abort(6), Filter: { Prefix: 'backups/' } }), '')
  assert.equal(kinds({ ...abort(6), Status: 'Disabled' }), '')
  assert.equal(kinds(abort(7)), '')
  assert.equal(kinds(abort(7), { expiresAfterMs: 8 * DAY }), 'danger')
  assert.match(
    found({ lifecycle: [{ ID: 'tidy', Status: 'Enabled', ...abort(1) }] }).join(),
    /"tidy".* after 1 day,.* 7 days/,
  )
})

test('objects and tails must not go before their upload may', () => {
  const after = (Days: number, Prefix: string) => ({ Expiration: { Days }, Filter: { Prefix } })
  assert.equal(kinds(after(3, 'uploads-tails/')), 'danger')
  assert.equal(kinds(after(7, 'uploads-tails/')), '', 'no tail of a living upload is as old')
  assert.equal(kinds(after(3, 'uploads/')), 'danger')
  assert.equal(kinds(after(365, 'uploads/')), 'warning', 'files that are kept for a year are a choice')
  assert.equal(kinds(after(3, 'upload')), 'danger')
  assert.equal(kinds({ Expiration: { Date: new Date('2030-01-01') } }), 'danger')
  assert.equal(kinds({ Expiration: { ExpiredObjectDeleteMarker: true } }), '')
  assert.match(
    found({ lifecycle: [{ Status: 'Enabled', ...after(3, 'u') }] }).join(),
    /"u" removes objects and tails after 3/,
  )
})

test('a rule for tags concerns objects that have all of them, and no tail', () => {
  const rule = (...Tags: { Key: string; Value: string }[]) => ({ Expiration: { Days: 1 }, Filter: { And: { Tags } } })
  const [one, two] = [
    { Key: 'service', Value: 'upload' },
    { Key: 'tenant', Value: 'acme' },
  ]
  assert.equal(kinds(rule(one)), '')
  assert.equal(kinds(rule(one), { tags: { service: 'upload' } }), 'danger')
  assert.equal(kinds(rule(one), { tags: { service: 'other' } }), '')
  assert.equal(kinds(rule(one, two), { tags: { service: 'upload' } }), '')
  assert.equal(kinds(rule(one, two), { tags: { service: 'upload', tenant: '{tenant}' } }), 'danger')
  assert.equal(kinds({ Expiration: { Days: 1 }, Filter: { Tag: one } }, { tags: { service: 'upload' } }), 'danger')
})

test('files in a class that cannot be read are warned of', () => {
  assert.equal(kinds({ Transitions: [{ Days: 30, StorageClass: 'DEEP_ARCHIVE' }] }), 'warning')
  assert.equal(kinds({ Transitions: [{ Days: 30, StorageClass: 'GLACIER_IR' }] }), '')
})

test('versions of removed tails cost, unless a rule takes them away', () => {
  assert.match(found({ versioning: 'on' }).join(), /^warning: Versioning is on: .*prefix uploads-tails\//)
  const clears = (Prefix: string): LifecycleRule => ({
    Status: 'Enabled',
    Filter: { Prefix },
    NoncurrentVersionExpiration: { NoncurrentDays: 1 },
  })
  assert.deepEqual(found({ versioning: 'on', lifecycle: [clears('uploads-tails/')] }), [])
  assert.deepEqual(found({ versioning: 'on', lifecycle: [clears('')] }), [])
  assert.equal(found({ versioning: 'on', lifecycle: [clears('uploads/')] }).length, 1)
  assert.equal(found({ versioning: 'on', lifecycle: [{ ...clears(''), Status: 'Disabled' }] }).length, 1)
})

test('Object Lock with a default retention keeps tails', () => {
  assert.match(
    found({ retention: 'for 30 days (COMPLIANCE)', versioning: 'on' }).join(),
    /^warning: Object Lock keeps .* for 30 days/,
  )
})
