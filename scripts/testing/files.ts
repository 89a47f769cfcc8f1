import { readdirSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'

/** The groups of test files, in the order in which they run. */
export const STAGES = ['house', 'unit', 'integration', 'acceptance'] as const

/** One group of test files. */
export type Stage = (typeof STAGES)[number]

const NOT_OURS = new Set(['node_modules', '.git', '.cache', 'data', 'dist'])

function* walk(dir: string): Generator<string> {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (NOT_OURS.has(entry.name)) continue
    const path = join(dir, entry.name)
    if (entry.isDirectory()) yield* walk(path)
    else if (entry.name.endsWith('.test.ts')) yield path
  }
}

/** Which stage a file (relative to the root, with slashes) belongs to: by its folder. */
export function stageOf(file: string): Stage {
  for (const stage of ['house', 'integration', 'acceptance'] as const) {
    if (file.startsWith(`test/${stage}/`)) return stage
  }
  return 'unit'
}

/** All test files below `root`, relative to it, sorted; with `wanted`, those at or below one of these paths. */
export function testFiles(root: string, wanted: readonly string[] = []): string[] {
  const files = [...walk(root)].map((path) => relative(root, path)).sort()
  if (wanted.length === 0) return files
  const paths = wanted.map((path) => relative(root, resolve(path)))
  return files.filter((file) => paths.some((path) => path === '' || file === path || file.startsWith(`${path}/`)))
}
