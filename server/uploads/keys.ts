import { randomBytes } from 'node:crypto'
import { DEFAULT_TEMPLATE, fillTemplate, type KeyShape, keyShape, shardOf } from './key-template.ts'
import type { Tail, Upload, UploadId } from './words.ts'

export interface KeyTemplate {
  /** S3_KEY_PREFIX */
  readonly prefix: string
  /** S3_TAIL_PREFIX */
  readonly tailPrefix: string
  /** S3_KEY_TEMPLATE: what keys are made by, then what older ones were made by. Absent: the default alone. */
  readonly objects?: readonly string[]
}

/**
 * A key that was never used: for each object and each multipart upload a token of its own (128 random bits). The row
 * alone says which key counts; only the sweeper looks for ids in keys ({@link objectShapes}).
 */
export function newObjectKey(
  { prefix, objects = [] }: KeyTemplate,
  { id, tenant }: Pick<Upload, 'id' | 'tenant'>,
  generation: number,
): string {
  const token = randomBytes(16).toString('hex')
  return fillTemplate(objects[0] ?? DEFAULT_TEMPLATE, { prefix, id, tenant, generation, token })
}

/** How keys of objects are found again, by each template in turn. */
export function objectShapes({ prefix, objects = [DEFAULT_TEMPLATE] }: KeyTemplate): readonly KeyShape[] {
  return objects.map((template) => keyShape(template, prefix))
}

/** How keys of tails are found again. */
export function tailShape({ tailPrefix }: KeyTemplate): KeyShape {
  return keyShape(TAIL_TEMPLATE, tailPrefix)
}

const TAIL_TEMPLATE = '{prefix}/{shard}/{id}/{generation}-{token}-{generation}-{generation}'

/** All tails of an upload begin with this. */
export function tailPrefix(template: KeyTemplate, id: UploadId): string {
  return `${template.tailPrefix}/${shardOf(id)}/${id}/`
}

/** A tail's key: written once, never overwritten. */
export function tailKey(template: KeyTemplate, id: UploadId, tail: Tail): string {
  return `${tailPrefix(template, id)}${tail.generation}-${tail.token}-${tail.start}-${tail.end}`
}

const TAIL_NAME = /\/(\d+)-([0-9a-f]+)-(\d+)-(\d+)$/

/** The tail that a listed key names (tails are the one kind of key that a rebuild must read back), or null. */
export function parseTailKey(key: string): Tail | null {
  const match = TAIL_NAME.exec(key)
  if (!match) return null
  const [, generation = '', token = '', start = '', end = ''] = match
  return { generation: Number(generation), token, start: Number(start), end: Number(end) }
}
