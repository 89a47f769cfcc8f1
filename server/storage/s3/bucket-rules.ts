/** What a bucket's own configuration does to uploads: facts in, sentences out. */
import type { LifecycleRule } from '@aws-sdk/client-s3'

const DAY_MS = 86_400_000
/** Objects of these classes cannot be read before somebody restores them. */
const ASLEEP: readonly (string | undefined)[] = ['GLACIER', 'DEEP_ARCHIVE']

/** What a bucket says of itself. null: it does not say. */
export interface BucketFacts {
  readonly versioning: 'on' | 'off' | null
  /** How long Object Lock keeps a new object by default, in words; `off`: it keeps none. */
  readonly retention: string | null
  readonly lifecycle: readonly LifecycleRule[] | null
}

/** Where our keys are, and how long an unfinished upload may rest. */
export interface OurKeys {
  /** What every key of an object begins with. */
  readonly objects: readonly string[]
  /** What every key of a tail begins with. */
  readonly tails: string
  readonly expiresAfterMs: number
  readonly tags: Readonly<Record<string, string>>
}

/** `danger`: bytes that a client was told of would go. `warning`: it costs, or surprises. `unknown`: could not be asked. */
export interface BucketFinding {
  readonly kind: 'danger' | 'warning' | 'unknown'
  readonly message: string
}

/** Everything about the bucket that an operator ought to know. */
export function findingsOf(facts: BucketFacts, keys: OurKeys): BucketFinding[] {
  const rules = (facts.lifecycle ?? []).filter(({ Status }) => Status === 'Enabled')
  const found = rules.flatMap((rule) => [
    ...expirations(rule, keys),
    ...abortions(rule, keys),
    ...transitions(rule, keys),
  ])
  if (facts.retention !== null && facts.retention !== 'off') {
    found.push({
      kind: 'warning',
      message:
        `Object Lock keeps every new object ${facts.retention}: tails are written all the time and would pile up, and the ` +
        'bytes of a terminated upload stay. Take the default retention away, or give uploads a bucket of their own.',
    })
  } else if (facts.versioning === 'on' && !rules.some((rule) => clearsVersions(rule, keys))) {
    found.push({
      kind: 'warning',
      message:
        'Versioning is on: everything that is removed (tails all the time) stays as a noncurrent version and is paid for. ' +
        `Add a lifecycle rule with NoncurrentVersionExpiration for the prefix ${keys.tails}, or turn versioning off.`,
    })
  }
  return found
}

function expirations(rule: LifecycleRule, keys: OurKeys): BucketFinding[] {
  const { Expiration: end } = rule
  if (end?.Days === undefined && end?.Date === undefined) return []
  const when = end.Days === undefined ? `on ${end.Date?.toISOString().slice(0, 10)}` : `after ${days(end.Days)}`
  const early = end.Days === undefined || end.Days * DAY_MS < keys.expiresAfterMs
  const objects = keys.objects.some((prefix) => concerns(rule, prefix, keys.tags))
  const tails = concerns(rule, keys.tails, {})
  if (!objects && !tails) return []
  const what = objects ? (tails ? 'objects and tails' : 'objects') : 'tails'
  if (early) {
    return [
      {
        kind: 'danger',
        message:
          `The lifecycle rule ${named(rule)} removes ${what} ${when}, and an unfinished upload may rest ` +
          `${rest(keys)} (UPLOAD_EXPIRES_AFTER): what its client was told is stored would be lost. Give the rule more days, ` +
          'another prefix, or uploads less time.',
      },
    ]
  }
  if (!objects) return []
  return [
    {
      kind: 'warning',
      message: `The lifecycle rule ${named(rule)} removes finished files ${when}: their downloads are answered 410 then.`,
    },
  ]
}

function abortions(rule: LifecycleRule, keys: OurKeys): BucketFinding[] {
  const after = rule.AbortIncompleteMultipartUpload?.DaysAfterInitiation
  if (after === undefined || after * DAY_MS >= keys.expiresAfterMs) return []
  if (!keys.objects.some((prefix) => concerns(rule, prefix, keys.tags))) return []
  return [
    {
      kind: 'danger',
      message:
        `The lifecycle rule ${named(rule)} aborts multipart uploads after ${days(after)}, and an unfinished upload may rest ` +
        `${rest(keys)} (UPLOAD_EXPIRES_AFTER): what its client was told is stored would be lost. Give the rule at least as ` +
        'many days, or uploads less time.',
    },
  ]
}

function transitions(rule: LifecycleRule, keys: OurKeys): BucketFinding[] {
  const asleep = rule.Transitions?.find(({ StorageClass }) => ASLEEP.includes(StorageClass))
  if (!asleep || !keys.objects.some((prefix) => concerns(rule, prefix, keys.tags))) return []
  return [
    {
      kind: 'warning',
      message: `The lifecycle rule ${named(rule)} moves files to ${asleep.StorageClass}: they cannot be downloaded there.`,
    },
  ]
}

/** Does it take noncurrent versions of every tail away? */
function clearsVersions(rule: LifecycleRule, keys: OurKeys): boolean {
  if (rule.NoncurrentVersionExpiration?.NoncurrentDays === undefined) return false
  return Object.keys(tagsOf(rule)).length === 0 && keys.tails.startsWith(prefixOf(rule))
}

/** Does the rule touch any key below `prefix`, of objects with these tags? Conditions on size count as met. */
function concerns(rule: LifecycleRule, prefix: string, tags: Readonly<Record<string, string>>): boolean {
  const theirs = prefixOf(rule)
  if (!theirs.startsWith(prefix) && !prefix.startsWith(theirs)) return false
  return Object.entries(tagsOf(rule)).every(([name, value]) => {
    const ours = Object.hasOwn(tags, name) ? tags[name] : undefined
    return ours !== undefined && (ours === value || ours.includes('{tenant}'))
  })
}

function prefixOf(rule: LifecycleRule): string {
  return rule.Filter?.And?.Prefix ?? rule.Filter?.Prefix ?? rule.Prefix ?? ''
}

function tagsOf({ Filter: filter }: LifecycleRule): Record<string, string> {
  const all = [...(filter?.And?.Tags ?? []), ...(filter?.Tag ? [filter.Tag] : [])]
  return Object.fromEntries(all.map(({ Key, Value }) => [Key ?? '', Value ?? '']))
}

function named(rule: LifecycleRule): string {
  return `"${rule.ID ?? prefixOf(rule)}"`
}

function days(count: number): string {
  return count === 1 ? '1 day' : `${count} days`
}

function rest({ expiresAfterMs }: OurKeys): string {
  return `${Math.round((expiresAfterMs / DAY_MS) * 10) / 10} days`
}
