import type { Rule } from '../support/rule.ts'
import { FINISH } from './finish.ts'
import { FREEZE } from './freeze.ts'
import { ROW } from './row.ts'
import { TAILS } from './tails.ts'
import { TAKEOVER } from './takeover.ts'
import { TOKEN } from './token.ts'
import { VERIFICATION } from './verification.ts'
import { WAITING } from './waiting.ts'

/** Every rule that needs no failover. */
export const RULES: readonly Rule[] = [
  ...TOKEN,
  ...ROW,
  ...TAKEOVER,
  ...FREEZE,
  ...TAILS,
  ...VERIFICATION,
  ...FINISH,
  ...WAITING,
]
