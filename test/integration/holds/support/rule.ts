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
    const plays = [[], rule.without].map(async (edits) => outcome(rule, await ground(), edits))
    const [held, broken] = await Promise.all(plays)
    if (held !== null) throw held
    assertBreaks(t, rule, broken)
  })
}

function assertBreaks(t: TestContext, rule: Rule, broken: unknown): void {
  assert.ok(broken !== null, 'nothing breaks when the rule is taken out')
  if (!(broken instanceof assert.AssertionError)) throw broken
  assert.match(broken.message, rule.breaks)
  t.diagnostic(`without it: ${broken.message}`)
}

/** null: every promise was kept. */
async function outcome(rule: Rule, ground: Ground, edits: readonly Edit[]): Promise<unknown> {
  const stage = await Stage.open(ground, await productWithout(edits))
  try {
    await rule.trace(stage)
    stage.settle()
    return null
  } catch (error) {
    return error
  } finally {
    await stage.close()
  }
}
