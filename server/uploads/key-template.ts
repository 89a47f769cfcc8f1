/** Templates of object keys: how a key is made of one, and how it is known again (S3_KEY_TEMPLATE). */
import { parseUploadId, type UploadId } from './id.ts'

/** `{prefix}` is in every template, first; {@link keyShape} says what else has to hold (the configuration checks it). */
export const DEFAULT_TEMPLATE = '{prefix}/{shard}/{id}/{generation}-{token}'

/** What a template is filled with. */
export interface KeyParts {
  readonly prefix: string
  readonly id: UploadId
  readonly tenant: string
  readonly generation: number
  readonly token: string
}

/** The id's last two hex digits: keys spread, and a sweeper can list by shard from a time on. */
export function shardOf(id: UploadId): string {
  return id.slice(-2)
}

const PLACEHOLDER = /\{(\w+)\}/g

/** The key that a template makes of these. */
export function fillTemplate(template: string, { prefix, id, tenant, generation, token }: KeyParts): string {
  const values: Readonly<Record<string, string>> = {
    prefix,
    shard: shardOf(id),
    id,
    tenant,
    generation: String(generation),
    token,
  }
  return template.replaceAll(PLACEHOLDER, (whole, name: string) => values[name] ?? whole)
}

/** How the keys of one template are found again, among others. */
export interface KeyShape {
  /** All of its keys begin with this. */
  readonly root: string
  /** And each of them with one of these: by them a listing may begin at an id, where they are {@link byId}. */
  readonly roots: readonly string[]
  /** Below a root its keys are in the order of their ids, so a listing may begin at one. */
  readonly byId: boolean
  /** The upload that a key was made for; null: the template does not make such keys. */
  idOf(key: string): UploadId | null
}

/** What stands for each placeholder. The parts of a key are apart by `/`, `.`, `_` or `-`, so that each is found. */
const PATTERNS: Readonly<Record<string, string>> = {
  shard: '(?<shard>[0-9a-f]{2})',
  id: '(?<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})',
  tenant: '[a-z0-9-]{1,63}',
  generation: '[0-9]+',
  token: '[0-9a-z]+',
}

const SHARDS = Array.from({ length: 256 }, (_, index) => index.toString(16).padStart(2, '0'))

/** The shape of a template with this prefix. */
export function keyShape(template: string, prefix: string): KeyShape {
  const rest = template.replaceAll('{prefix}', prefix)
  const pieces = rest.split(PLACEHOLDER)
  // Literal text and names of placeholders take turns.
  const source = pieces.map((piece, index) => (index % 2 === 0 ? RegExp.escape(piece) : (PATTERNS[piece] ?? '')))
  const pattern = new RegExp(`^${source.join('')}$`)
  const [before = '', first, between = '', second] = pieces
  const sharded = first === 'shard'
  return {
    root: before,
    roots: sharded ? SHARDS.map((shard) => `${before}${shard}${between}`) : [before],
    byId: (sharded ? second : first) === 'id',
    idOf(key) {
      const found = pattern.exec(key)?.groups
      const id = parseUploadId(found?.id ?? '')
      return id !== null && (found?.shard === undefined || found.shard === shardOf(id)) ? id : null
    },
  }
}
