import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/**
 * Where programs that the tests install for themselves are kept: one directory a user, so that a second clone
 * finds them there instead of building them again.
 */
export function toolCache(): string {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  const dir = join(base, 'upload-service-tests')
  mkdirSync(dir, { recursive: true })
  return dir
}
