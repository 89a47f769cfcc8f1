import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Edit } from '../../support/property/mutations.ts'
import { edited } from '../../support/property/mutations.ts'

/** What a trace is played with: the product as it is, or without one of its rules. */
export interface Product {
  readonly createEngine: typeof import('../../../../server/uploads/engine.ts')['createEngine']
  readonly createRedisCoordination: typeof import('../../../../server/coordination/redis/index.ts')['createRedisCoordination']
  readonly openDatabase: typeof import('../../../../db/database.ts')['openDatabase']
  readonly S3ByteStore: typeof import('../../../../server/storage/s3/index.ts')['S3ByteStore']
  readonly oneStore: typeof import('../../../../server/uploads/one-store.ts')['oneStore']
  readonly UploadError: typeof import('../../../../server/uploads/errors.ts')['UploadError']
}

const ROOT = new URL('../../../../', import.meta.url).href
const OURS = [`${ROOT}server/`, `${ROOT}db/`]
const MARK = 'without'

const variants = new Map<string, readonly Edit[]>()
let hooked = false

/**
 * Loads the product once more with its sources edited: a rule is taken out wherever it stands, in the engine, in a Lua
 * script or in a statement, and the product itself has no switch for it. No edits: the product that everybody runs.
 */
export async function productWithout(edits: readonly Edit[]): Promise<Product> {
  if (edits.length === 0) return load('')
  hook()
  const variant = String(variants.size + 1)
  variants.set(variant, edits)
  const product = await load(`?${MARK}=${variant}`)
  const unused = edits.filter((edit) => !used.has(edit))
  if (unused.length > 0) throw new Error(`the product does not load ${unused.map(({ file }) => file)}`)
  return product
}

async function load(query: string): Promise<Product> {
  const one = (file: string) => import(`${ROOT}${file}${query}`)
  const [engine, redis, db, s3, stores, errors] = await Promise.all([
    one('server/uploads/engine.ts'),
    one('server/coordination/redis/index.ts'),
    one('db/database.ts'),
    one('server/storage/s3/index.ts'),
    one('server/uploads/one-store.ts'),
    one('server/uploads/errors.ts'),
  ])
  return { ...engine, ...redis, ...db, ...s3, ...stores, ...errors }
}

const used = new Set<Edit>()

/** From here on a module that is asked for with the mark brings its own imports with it, marked like itself. */
function hook(): void {
  if (hooked) return
  hooked = true
  registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context)
      const mark = context.parentURL && new URL(context.parentURL).searchParams.get(MARK)
      if (!mark || !OURS.some((room) => found.url.startsWith(room))) return found
      const url = new URL(found.url)
      url.searchParams.set(MARK, mark)
      return { ...found, url: url.href }
    },
    load(url, context, next) {
      const mark = url.startsWith('file:') ? new URL(url).searchParams.get(MARK) : null
      const edits = mark === null ? undefined : variants.get(mark)
      if (edits === undefined) return next(url, context)
      return { format: 'module-typescript', shortCircuit: true, source: sourceOf(url, edits) }
    },
  })
}

function sourceOf(url: string, edits: readonly Edit[]): string {
  const path = fileURLToPath(url)
  let source = readFileSync(path, 'utf8')
  for (const edit of edits) {
    if (pathToFileURL(path).href !== `${ROOT}${edit.file}`) continue
    source = edited(source, edit)
    used.add(edit)
  }
  return source
}
