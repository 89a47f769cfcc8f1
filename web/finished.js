/**
 * @typedef {object} Finished A file that arrived.
 * @property {string} url
 * @property {string} name
 * @property {number} size
 */

const KEY = 'upload-page.finished'
const KEPT = 50

/**
 * The files that arrived in this tab, the latest first; they outlive a reload.
 * @returns {Finished[]}
 */
export function finishedUploads() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? '[]')
    return Array.isArray(kept) ? kept : []
  } catch {
    return []
  }
}

/** @param {Finished} upload */
export function keepFinished(upload) {
  const others = finishedUploads().filter(({ url }) => url !== upload.url)
  sessionStorage.setItem(KEY, JSON.stringify([upload, ...others].slice(0, KEPT)))
}

/** @param {string} url */
export function forgetFinished(url) {
  sessionStorage.setItem(KEY, JSON.stringify(finishedUploads().filter((one) => one.url !== url)))
}
