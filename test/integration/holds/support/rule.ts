import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Edit } from '../../support/property/mutations.ts'
import type { Ground } from './ground.ts'
import { productWithout } from './product.ts'
import { Stage } from './stage.ts'

/** One rule of the hold (docs/architecture.md, "The hold: one writer") and a trace in which it is needed. */
export interface Rule {
  readonly name: string
  /** Takes the rule out of the product's sources; paths from the project's root. */
  readonly without: readonly Edit[]
  /** What a client notices then. */
  readonly breaks: RegExp
  /** Plays the trace; throws an AssertionError when a promise is broken. */
  trace(stage: Stage): Promise<void>
}

/**
 * One test: the trace holds with the product as it is and, played with a product that lacks the rule, breaks in the way
 * that the rule says. So each test proves that it can fail.
 */
export function playRule(rule: Rule, ground: () => Ground | Promise<Ground>): void {
  test(rule.name, { timeout: 120_000 }, async (t) => {
    const play = async (edits: readonly Edit[]) => outcome(rule, await ground(), edits)
    const [held, broken] = await Promise.all([play([]), play(rule.without)])
    if (held.error !== null) {
      for (const refusal of held.refusals) t.diagnostic(`refused: ${refusal}`)
      throw held.error
    }
    assertBreaks(t, rule, broken)
  })
}

function assertBreaks(t: TestContext, rule: Rule, { error, refusals }: Outcome): void {
  t.diagnostic(`without it: ${error instanceof Error ? error.message : 'nothing breaks'}`)
  if (error instanceof assert.AssertionError && rule.breaks.test(error.message)) return
  for (const refusal of refusals) t.diagnostic(`refused: ${refusal}`)
  assert.ok(error !== null, 'nothing breaks when the rule is taken out')
  if (!(error instanceof assert.AssertionError)) throw error
  assert.match(error.message, rule.breaks)
}

interface Outcome {
  /** null: every promise was kept. */
  readonly error: unknown
  readonly refusals: readonly string[]
}

async function outcome(rule: Rule, ground: Ground, edits: readonly Edit[]): Promise<Outcome> {
  const stage = await Stage.open(ground, await productWithout(edits))
  try {
    await rule.trace(stage)
    stage.settle()
    return { error: null, refusals: [] }
  } catch (error) {
    return { error, refusals: stage.ledger.refusals }
  } finally {
    await stage.close()
  }
}
