import { randomBytes } from 'node:crypto'
import type { Tail, UploadId } from './words.ts'

export interface KeyTemplate {
  /** S3_KEY_PREFIX */
  readonly prefix: string
  /** S3_TAIL_PREFIX */
  readonly tailPrefix: string
}

/** The id's last two hex digits: keys spread, and a sweeper can list by shard from a time on. */
function shard(id: UploadId): string {
  return id.slice(-2)
}

/** The key of an object that a hold writes. The row alone says which key counts; nothing parses a key back. */
export function objectKey(template: KeyTemplate, id: UploadId, generation: number, token: string): string {
  return `${template.prefix}/${shard(id)}/${id}/${generation}-${token}`
}

/** A key that was never used: for each object and each multipart upload a token of its own (128 random bits). */
export function newObjectKey(template: KeyTemplate, id: UploadId, generation: number): string {
  return objectKey(template, id, generation, randomBytes(16).toString('hex'))
}

/** All tails of an upload begin with this. */
export function tailPrefix(template: KeyTemplate, id: UploadId): string {
  return `${template.tailPrefix}/${shard(id)}/${id}/`
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
