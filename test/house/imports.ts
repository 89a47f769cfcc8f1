import { stripTypeScriptTypes } from 'node:module'
import { posix } from 'node:path'
import { init, parse } from 'es-module-lexer'

await init

/** One module that a file loads when it runs; imports of types alone are gone by then. */
export interface ValueImport {
  /** As written. */
  readonly specifier: string
  /** Path from the root for a module of ours, else undefined. */
  readonly path: string | undefined
  /** Name of the package for one from npm, `node:…` for one of Node's, else undefined. */
  readonly package: string | undefined
}

function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier
  const [scope = '', name] = specifier.split('/')
  return scope.startsWith('@') ? `${scope}/${name}` : scope
}

/** What `file` (relative to the root) loads, static and dynamic imports alike. */
export function valueImports(file: string, source: string): ValueImport[] {
  const code = file.endsWith('ts') ? stripTypeScriptTypes(source, { mode: 'strip' }) : source
  const [found] = parse(code, file)
  return found.flatMap((one): ValueImport[] => {
    if (one.type === 'import-meta' || one.specifier === undefined) return []
    const { specifier } = one
    const local = specifier.startsWith('.')
    return [
      {
        specifier,
        path: local ? posix.join(posix.dirname(file), specifier) : undefined,
        package: local || specifier.startsWith('/') ? undefined : packageOf(specifier),
      },
    ]
  })
}
