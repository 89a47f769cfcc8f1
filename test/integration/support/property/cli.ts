import { parseArgs } from 'node:util'
import { check } from './run.ts'

/**
 * The property test by hand, and over a copy of the engine with a bug in it:
 *   node test/integration/support/property/cli.ts --broken --runs=5000 --seed=7 [--path=... --replay=...] [--no-shrink]
 * Prints one line of JSON, { failed, runs }, then the report. Exits with 1 when something was found.
 */
const { values } = parseArgs({
  options: {
    broken: { type: 'boolean', default: false },
    runs: { type: 'string', default: '1000' },
    seed: { type: 'string' },
    path: { type: 'string' },
    replay: { type: 'string' },
    'no-shrink': { type: 'boolean', default: false },
    'budget-ms': { type: 'string' },
  },
})
// A bug may end in a rejection that nobody handles: that, too, is found.
process.on('unhandledRejection', (error) => end({ failed: true, runs: 0 }, `unhandled: ${String(error)}`))
const { failed, runs, report } = await check({
  broken: values.broken,
  numRuns: Number(values.runs),
  shrink: !values['no-shrink'],
  ...(values.seed === undefined ? {} : { seed: Number(values.seed) }),
  ...(values.path === undefined ? {} : { path: values.path }),
  ...(values.replay === undefined ? {} : { replayPath: values.replay }),
  ...(values['budget-ms'] === undefined ? {} : { budgetMs: Number(values['budget-ms']) }),
})
end({ failed, runs }, report)

function end(result: { readonly failed: boolean; readonly runs: number }, text: string): never {
  console.log(JSON.stringify(result))
  if (text) console.log(text)
  process.exit(result.failed ? 1 : 0)
}
