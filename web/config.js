/**
 * @typedef {object} PageConfig
 * @property {string} endpoint Absolute address of the uploads.
 * @property {number} chunkBytes Body of one PATCH.
 * @property {number} maxBytes Longest file.
 * @property {'none' | 'jwt'} authMode
 */

/**
 * What the service wrote into the page. Throws when it is not there.
 * @returns {PageConfig}
 */
export function readConfig() {
  const { endpoint, chunkBytes, maxBytes, authMode } = JSON.parse(element('config').textContent ?? '')
  return { endpoint: new URL(endpoint, location.href).href, chunkBytes, maxBytes, authMode }
}

/**
 * An element of the page. Throws when it is not there.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function element(id) {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`the page has no #${id}`)
  return found
}
