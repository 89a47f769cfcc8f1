#!/usr/bin/env node
/**
 * Load on any deployment of the service, over its public API alone, by Node alone:
 *
 *     node load-tests/load-test.js --url=http://127.0.0.1:3005 --concurrent=1000 --duration=300
 *
 * `--help` lists the options. Ends with 0 when every threshold held, 1 when one is broken, 2 when there was nothing to
 * test, 130 when interrupted before anything broke. Ctrl-C prints the report so far; a second one ends at once.
 */
import { writeFileSync } from 'node:fs'
import { help, readOptions } from './node/options.js'
import { reportOf, textOf } from './node/report.js'
import { Run, Unusable } from './node/run.js'

/** @param {import('./node/options.js').Options} options @returns {Promise<number>} exit code */
async function loadTest(options) {
  const run = new Run(options)
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => {
      run.interrupt()
      process.once(signal, () => process.exit(130))
    })
  }
  const startedAt = new Date()
  try {
    const outcome = await run.start((line) => void process.stderr.write(`${line}\n`))
    const report = reportOf(options, outcome, startedAt)
    process.stdout.write(textOf(report))
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`)
    if (!report.ok) return 1
    return outcome.interrupted ? 130 : 0
  } catch (error) {
    if (!(error instanceof Unusable)) throw error
    process.stderr.write(`${error.message}\n`)
    return 2
  }
}

const args = process.argv.slice(2)
if (args.includes('--help')) {
  process.stdout.write(`${help()}\n`)
} else {
  const { options, faults } = readOptions(args, process.env)
  if (options === undefined) {
    process.stderr.write(`${faults.join('\n')}\n`)
    process.exitCode = 2
  } else process.exitCode = await loadTest(options)
}
