import { failureText } from './format.js'
import { authorization } from './token.js'

const TUS = { 'Tus-Resumable': '1.0.0' }

/**
 * Where an unfinished upload stands: its offset; `gone` when the service does not have it any more; null when it cannot
 * say now.
 * @param {string} url
 * @returns {Promise<number | 'gone' | null>}
 */
export async function offsetOf(url) {
  const answer = await fetch(url, { method: 'HEAD', headers: { ...TUS, ...authorization() } }).catch(() => null)
  if (answer === null) return null
  if (answer.status === 404 || answer.status === 410) return 'gone'
  const offset = answer.headers.get('Upload-Offset')
  return answer.ok && offset !== null ? Number(offset) : null
}

/**
 * Ends an upload at the service. Throws, with words for people, when it could not.
 * @param {string} url
 */
export async function terminate(url) {
  const answer = await fetch(url, { method: 'DELETE', headers: { ...TUS, ...authorization() } }).catch(() => null)
  if (answer?.ok || answer?.status === 404 || answer?.status === 410) return
  throw new Error(failureText(answer?.status ?? 0, (await answer?.text()) ?? ''))
}

/**
 * The record of an upload, or null while it cannot be had.
 * @param {string} url
 * @returns {Promise<{ state: string, sha256: string | null } | null>}
 */
export async function recordOf(url) {
  try {
    const answer = await fetch(`${url}/info`, { headers: authorization() })
    if (!answer.ok) return null
    const { state, sha256 } = await answer.json()
    return { state, sha256 }
  } catch {
    return null
  }
}

/**
 * Fetches a file with the token, which a link cannot carry, and hands it to the browser's downloads.
 * @param {string} url
 * @param {string} name
 */
export async function downloadWithToken(url, name) {
  const answer = await fetch(url, { headers: authorization() }).catch(() => null)
  if (!answer?.ok) throw new Error(failureText(answer?.status ?? 0, (await answer?.text()) ?? ''))
  const link = document.createElement('a')
  link.href = URL.createObjectURL(await answer.blob())
  link.download = name
  link.click()
  // The browser reads the blob after the click; a minute is more than it needs to begin.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
