import type { TestEvent } from 'node:test/reporters'
import { inspect } from 'node:util'

/** What the runner hears about one finished test, one JSON line each. */
export interface Outcome {
  readonly name: string
  readonly result: 'passed' | 'failed' | 'skipped'
  readonly error?: string
}

/** Suites and parents that failed only through a subtest say nothing that their subtests do not say. */
function outcomeOf(event: TestEvent): Outcome | undefined {
  if (event.type !== 'test:pass' && event.type !== 'test:fail') return undefined
  const { name, skip, todo } = event.data
  const excused = skip !== undefined || todo !== undefined
  if (event.type === 'test:pass') {
    if (event.data.details.type === 'suite' && !excused) return undefined
    return { name, result: excused ? 'skipped' : 'passed' }
  }
  const { error } = event.data.details
  if ('failureType' in error && error.failureType === 'subtestsFailed') return undefined
  return { name, result: 'failed', error: inspect(error.cause ?? error, { depth: 6 }) }
}

/** A reporter for `node:test` that writes outcomes as JSON lines. */
export default async function* reporter(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    const outcome = outcomeOf(event)
    if (outcome !== undefined) yield `${JSON.stringify(outcome)}\n`
  }
}
