/**
 * What tus-js-client keeps in localStorage to go on with an upload after a reload: `tus::{fingerprint}::{random}`, where
 * Uppy's fingerprint is `tus-{file id}-{endpoint}`.
 */

/**
 * @typedef {object} Remembered An upload that was begun in this browser and not finished.
 * @property {string} key Where it is remembered.
 * @property {string} url
 * @property {string} name
 * @property {number} size
 */

/**
 * Those that were sent to `endpoint`, the latest first. What cannot be read is passed over.
 * @param {Storage} storage
 * @param {string} endpoint
 * @returns {Remembered[]}
 */
export function rememberedUploads(storage, endpoint) {
  const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? '')
  return keys
    .filter((key) => key.startsWith('tus::tus-') && key.includes(`-${endpoint}::`))
    .flatMap((key) => entry(key, storage.getItem(key)))
    .sort((a, b) => b.since - a.since)
    .map(({ key, url, name, size }) => ({ key, url, name, size }))
}

/**
 * The one that a chosen file would go on with.
 * @param {Storage} storage
 * @param {string} endpoint
 * @param {string} fileId Uppy's.
 */
export function rememberedFor(storage, endpoint, fileId) {
  const start = `tus::tus-${fileId}-${endpoint}::`
  return rememberedUploads(storage, endpoint).find(({ key }) => key.startsWith(start)) ?? null
}

/**
 * @param {string} key
 * @param {string | null} text
 * @returns {(Remembered & { since: number })[]}
 */
function entry(key, text) {
  try {
    const { uploadUrl, size, metadata, creationTime } = JSON.parse(text ?? '')
    if (typeof uploadUrl !== 'string' || typeof size !== 'number') return []
    const name = String(metadata?.filename ?? metadata?.name ?? 'unnamed')
    return [{ key, url: uploadUrl, name, size, since: Date.parse(creationTime) || 0 }]
  } catch {
    return []
  }
}
