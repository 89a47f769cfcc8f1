/**
 * Each rule of the hold on one Redis, Postgres and a strict S3 store, with real instances whose calls stand still where
 * the trace wants it: it holds, and it breaks when the rule is taken out of the product.
 */
import { after, before, describe } from 'node:test'
import { type Ground, openGround, strictStore, withReplica } from './support/ground.ts'
import { playRule } from './support/rule.ts'
import { SPLIT, STALE_SESSION } from './traces/failover.ts'
import { RULES } from './traces/index.ts'

describe('rules of the hold, one Redis', { concurrency: 8 }, () => {
  let ground: Ground
  const pairs: Ground[] = []
  before(async () => {
    ground = await openGround(strictStore())
  })
  after(async () => {
    await Promise.all(pairs.map((pair) => pair.close()))
    await ground.close()
  })

  for (const rule of [...SPLIT, STALE_SESSION]) {
    playRule(rule, async () => {
      const pair = await withReplica(ground)
      pairs.push(pair)
      return pair
    })
  }
  for (const rule of RULES) playRule(rule, () => ground)
})
