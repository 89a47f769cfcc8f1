import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SETTINGS } from '../../server/config/settings.ts'
import { METRICS } from '../../server/observability/metric-table.ts'
import { ERROR_CODES } from '../../server/uploads/errors.ts'
import { brokenLinks, roomsTable, unknownNames, unknownScripts, unknownSettings } from './documents.ts'
import { codeFiles, projectFiles, textOf } from './sources.ts'
import { ROOMS, WORDS } from './walls.ts'

const files = projectFiles()
const documents = files.filter((file) => file.endsWith('.md'))

/** Upper-case names that are no settings of the service. */
const OTHERS: ReadonlySet<string> = new Set([
  // Storage classes.
  'STANDARD_IA',
  'INTELLIGENT_TIERING',
  'GLACIER_IR',
  'DEEP_ARCHIVE',
  // objects of ours that documents name
  'HOOK_NAMES',
  'POST_CREATE',
  'POST_FINISH',
  'POST_RECEIVE',
  'POST_TERMINATE',
  // the environment of programs that are not ours
  'PATH',
  'CHROMIUM_PATH',
  // the environment of the load tests (k6 and artillery take no arguments of ours)
  'URL',
  'CONCURRENT',
  'DURATION',
  'TOKEN',
  'UPLOAD_TOKEN',
  // what Kubernetes puts into the environment of pods
  'REDIS_PORT',
])

/** Names of other programs that the operations pages tell to look at. */
const THEIRS =
  /^(nodejs_\w+|process_\w+|evicted_keys|master_replid|synchronous_commit|max_connections|stop_grace_period)$/

/** Read by tests, scripts or benchmarks, where they are in no table. */
const toolSources = codeFiles().filter((file) => /^(test|scripts|bench|load-tests)\//.test(file))
const isRead = (name: string): boolean => toolSources.some((file) => textOf(file).includes(name))

function isSetting(name: string): boolean {
  if (Object.hasOwn(SETTINGS, name) || OTHERS.has(name)) return true
  return /^(TEST|BENCH|PEERS)_/.test(name) && isRead(name)
}

const columns = new Set(textOf('db/schema.sql').match(/[a-z][a-z0-9_]*/g))
const metrics = new Set(
  Object.entries(METRICS).flatMap(([name, { kind }]) =>
    kind === 'histogram' ? [name, `${name}_count`, `${name}_sum`, `${name}_bucket`] : [name],
  ),
)
const isName = (name: string): boolean =>
  metrics.has(name) || columns.has(name) || ERROR_CODES.some((code) => code === name) || THEIRS.test(name)

test('every relative link of every document leads somewhere', () => {
  assert.ok(documents.includes('README.md') && documents.length > 20, 'the documents were found')
  assert.deepEqual(
    documents.flatMap((file) => brokenLinks(file, { files, textOf })),
    [],
  )
})

test('every npm script that a document names is there', () => {
  const { scripts }: { scripts: Record<string, string> } = JSON.parse(textOf('package.json'))
  assert.deepEqual(
    documents.flatMap((file) => unknownScripts(file, textOf(file), Object.keys(scripts))),
    [],
  )
})

test('every setting that a document names is there', () => {
  assert.deepEqual(
    documents.flatMap((file) => unknownSettings(file, textOf(file), isSetting)),
    [],
  )
})

test('the operations pages name metrics, codes and columns that are there', () => {
  const pages = documents.filter((file) => file.startsWith('docs/operations/'))
  assert.ok(pages.length > 10)
  assert.deepEqual(
    pages.flatMap((file) => unknownNames(file, textOf(file), isName)),
    [],
  )
})

test('the operations pages name events that are logged', () => {
  const log = textOf('server/observability/log.ts')
  const named = [...textOf('docs/operations/README.md').matchAll(/^\| (`[a-z]+\.[a-z_]+`[^|]*) \|/gm)]
  const events = named.flatMap(([, cell = '']) => [...cell.matchAll(/`([a-z]+\.[a-z_]+)`/g)].map(([, name]) => name))
  assert.ok(events.length > 10, 'the table was found')
  const known = (event: string): boolean =>
    log.includes(`'${event}'`) || (event.startsWith('dependency.') && log.includes('`dependency.'))
  assert.deepEqual(
    events.filter((event) => event === undefined || !known(event)),
    [],
  )
})

test('every page of operations is in its index', () => {
  const index = textOf('docs/operations/README.md')
  const pages = files.filter((file) => /^docs\/operations\/(?!README)[^/]+\.md$/.test(file))
  assert.deepEqual(
    pages.filter((file) => !index.includes(`](${file.replace('docs/operations/', '')})`)),
    [],
  )
})

test('decisions have numbers of their own', () => {
  const numbers = files.flatMap((file) => /^docs\/decisions\/(\d{3})-/.exec(file)?.[1] ?? [])
  assert.deepEqual(numbers, [...new Set(numbers)])
})

test('docs/architecture.md has the rooms and arrows that are enforced', () => {
  const words = new Set(WORDS)
  const written = (imports: readonly string[]): string => {
    if (imports.includes('*')) return 'everything'
    const rooms = imports.filter((path) => !words.has(path)).map((room) => `\`${room}\``)
    const all = imports.length > rooms.length ? [...rooms, 'words'] : rooms
    return all.length === 0 ? 'nothing of ours' : all.join(', ')
  }
  const expected = Object.entries(ROOMS).map(([room, imports]) => `${room}: ${written(imports)}`)
  const found = [...roomsTable(textOf('docs/architecture.md'))].map(([room, imports]) => `${room}: ${imports}`)
  assert.deepEqual(found.sort(), expected.sort())
})

test('faults are found', () => {
  const pages: Readonly<Record<string, string>> = {
    'a.md':
      '# A b: `c`\n[x](docs/b.md) [y](docs/b.md#two) [z](docs/) [w](#a-b-c) `[code](no.md)`\n```\n[code](no.md)\n```\n',
    'docs/b.md': '## Two\n[up](../a.md) [gone](c.md) [no](../a.md#nowhere) [web](https://example.com/x)\n',
  }
  const project = { files: Object.keys(pages), textOf: (file: string) => pages[file] ?? '' }
  assert.deepEqual(brokenLinks('a.md', project), [])
  assert.deepEqual(brokenLinks('docs/b.md', project), [
    'docs/b.md: c.md leads nowhere',
    'docs/b.md: ../a.md#nowhere: no such heading',
  ])
  assert.deepEqual(unknownScripts('x', '`npm test`, npm run a:b', ['test']), ['x: no npm script a:b'])
  const isPort = (name: string): boolean => name === 'PORT'
  assert.deepEqual(unknownSettings('x', 'A_B and `PORT=1`, `HOST=x`, HOST=y, `SELECT`, `ID=1; echo $ID`', isPort), [
    'x: no setting A_B',
    'x: no setting HOST',
  ])
  assert.deepEqual(
    unknownNames('x', '`up_load` and `known_one`, plain_text', (name) => name === 'known_one'),
    ['x: nothing is called up_load'],
  )
})
