/** docs/errors.md, from the table. `npm run docs` writes it; a test compares. */
import { ERROR_CODES } from '../uploads/errors.ts'
import { answerFor } from './answer.ts'
import { ERROR_TABLE, type ErrorRule } from './table.ts'

const HEAD = `# Errors

Generated from \`server/errors/table.ts\` by \`npm run docs\`; edit there.

Every failure has a code, and the code (with the method of the request) decides the status: nothing else does. The tus
dialect answers it as a line of plain text that begins with the code, everything else as \`application/problem+json\`
(RFC 9457) with \`code\`, \`retryable\` and \`requestId\` beside \`type\`, \`title\`, \`status\` and \`detail\`.

- **HEAD** of an upload never answers 5xx, 408 or 429: tus-js-client would start again from 0. It says 423 with
  \`Retry-After\` instead.
- *again*: the same may succeed later. A tus client asks with HEAD how far the upload is, and goes on from there; what may
  pass is 409, 423 or 5xx, because tus-js-client gives up on any other 4xx of a PATCH.
- *closes*: the connection of a PATCH or POST ends with the answer.

| code | status | HEAD | again | \`Retry-After\` | closes | when, and what to do |
|---|---|---|---|---|---|---|
`

/** The page as it should stand in docs/errors.md. */
export function renderErrorDocs(): string {
  const rows = ERROR_CODES.map((code) => {
    const rule: ErrorRule = ERROR_TABLE[code]
    const cells = [
      `\`${code}\``,
      String(rule.status),
      String(answerFor(code, 'HEAD').status),
      rule.retryable ? 'yes' : 'no',
      rule.retryAfterSeconds === undefined ? '' : `${rule.retryAfterSeconds} s`,
      rule.closes === true ? 'yes' : '',
      `${rule.title}. ${rule.meaning}`,
    ]
    return `| ${cells.join(' | ')} |\n`
  })
  return HEAD + rows.join('')
}
