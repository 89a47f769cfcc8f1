import { lstat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { UploadError } from '../../uploads/errors.ts'
import { isMissing } from './failure.ts'

/** Segments of a key begin with a letter or digit, so that neither `..` nor a hidden name is one. */
const SEGMENT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/
const MAX_KEY_LENGTH = 1024
const MULTIPART_ID = /^[0-9a-f]{32}$/

/** The folders under a root. All are of one file system, so that a rename moves a file between them whole. */
export interface Layout {
  readonly root: string
  /** Finished objects, by key. */
  readonly objects: string
  /** Open multipart uploads, a folder each. */
  readonly multipart: string
  /** Objects being written: no reader and no listing looks here. */
  readonly incoming: string
  /** Multipart uploads that ended, until their folder is emptied. */
  readonly trash: string
}

export function layout(root: string): Layout {
  return {
    root,
    objects: join(root, 'objects'),
    multipart: join(root, 'multipart'),
    incoming: join(root, 'incoming'),
    trash: join(root, 'trash'),
  }
}

/** The segments of a key from the closed alphabet. Throws `internal`: keys are made by us, never by a client. */
export function keySegments(key: string): string[] {
  const segments = key.split('/')
  if (key.length <= MAX_KEY_LENGTH && segments.every((segment) => SEGMENT.test(segment))) return segments
  throw new UploadError('internal', `Not an object key: ${JSON.stringify(key.slice(0, 200))}`)
}

/** The file of a key. */
export function objectFile(at: Layout, key: string): string {
  return join(at.objects, ...keySegments(key))
}

/** The folder of a multipart upload, or null for what no id of ours looks like. */
export function multipartFolder(at: Layout, id: string): string | null {
  return MULTIPART_ID.test(id) ? join(at.multipart, id) : null
}

/**
 * Refuses a path below `top` on which a symbolic link stands: the alphabet keeps a key inside the root only as long as
 * nobody planted one. What does not exist yet is fine.
 */
export async function refuseLinks(top: string, path: string): Promise<void> {
  for (let at = path; at.length > top.length; at = dirname(at)) {
    try {
      const found = await lstat(at)
      if (found.isSymbolicLink()) throw new UploadError('internal', `A symbolic link is in the way at ${at}; remove it`)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }
}
