import { UploadError } from '../../uploads/errors.ts'

/** What an operator can undo (space, permissions, a failing disk): the upload stays and goes on afterwards. */
const AWAY = new Set([
  'ENOSPC',
  'EDQUOT',
  'EIO',
  'EROFS',
  'EACCES',
  'EPERM',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'EBUSY',
  'ESTALE',
  'ENODEV',
  'ENXIO',
  'ETIMEDOUT',
])

export function errorCode(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null
}

/** Is the file, or a folder on the way to it, not there? */
export function isMissing(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

/** Any failure of the file system as the port promises it. */
export function asUploadError(operation: string, error: unknown): UploadError {
  if (error instanceof UploadError) return error
  const message = error instanceof Error ? error.message : String(error)
  const away = AWAY.has(errorCode(error) ?? '')
  return new UploadError(away ? 'store_unavailable' : 'internal', `${operation} failed: ${message}`, { cause: error })
}
