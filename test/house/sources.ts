import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The project's root directory. */
export const ROOT = join(import.meta.dirname, '..', '..')

/** Files that are tracked or about to be (not ignored), relative to the root, with slashes. */
export function projectFiles(): string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const out = execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  const files = out.split('\0').filter((file) => file !== '' && existsSync(join(ROOT, file)))
  return [...new Set(files)].sort()
}

/** Those of the files that hold code which Node or a browser runs. */
export function codeFiles(): string[] {
  return projectFiles().filter((file) => /\.(ts|mts|js|mjs)$/.test(file) && !file.endsWith('.d.ts'))
}

/** The text of a file of the project. */
export function textOf(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}
