const UNITS = ['B', 'KB', 'MB', 'GB', 'TB']

/**
 * Bytes for people, in powers of 1024 as Uppy shows them: 4.2 MB.
 * @param {number} bytes
 */
export function formatBytes(bytes) {
  let value = bytes
  let unit = 0
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1
  return `${value.toFixed(digits).replace(/\.0$/, '')} ${UNITS[unit]}`
}

/**
 * How much of a file is there: "45 % of 12 MB". Never 100 % before the end.
 * @param {number} offset
 * @param {number} size
 */
export function formatShare(offset, size) {
  const percent = size === 0 || offset >= size ? 100 : Math.floor((offset / size) * 100)
  return `${percent} % of ${formatBytes(size)}`
}

/**
 * What went wrong, in the words of the service: a problem document, or the dialect's line "code: Title. Detail".
 * @param {number} status 0: there was no answer.
 * @param {string} body
 */
export function failureText(status, body) {
  if (status === 0) return 'The service cannot be reached. Try again when the connection is back.'
  if (status === 401) return 'The service does not know you: paste a valid access token and try again.'
  const said = problemText(body) ?? body.trim().replace(/^[a-z_]+: /, '')
  return said === '' || /^[<{[]/.test(said) ? `The service answered ${status}.` : said
}

/**
 * @param {string} body
 * @returns {string | null}
 */
function problemText(body) {
  try {
    const problem = JSON.parse(body)
    const lines = [problem.title, problem.detail].filter((line) => typeof line === 'string' && line !== '')
    return lines.length === 0 ? null : lines.map((line) => line.replace(/\.?$/, '.')).join(' ')
  } catch {
    return null
  }
}
