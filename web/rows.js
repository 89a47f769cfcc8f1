/**
 * @typedef {object} Action Something to do with a file: a link where it has an address, else a button.
 * @property {string} label
 * @property {string} [href]
 * @property {() => void} [run]
 */

/**
 * @typedef {object} Row
 * @property {'waiting' | 'moving' | 'stored' | 'failed'} state
 * @property {string} name
 * @property {string} text What is with this file, one or two sentences.
 * @property {string} [sha256]
 * @property {Action[]} [actions]
 */

/** The list of files below the drop area; empty, it is hidden. */
export class RowList {
  /** @type {Map<string, HTMLLIElement>} */
  #items = new Map()
  #section
  #list

  /**
   * @param {HTMLElement} section Hidden while there is no row.
   * @param {HTMLElement} list
   */
  constructor(section, list) {
    this.#section = section
    this.#list = list
  }

  /**
   * Shows or replaces the row of `key`; a new one comes first. Keyboard focus stays in the row.
   * @param {string} key
   * @param {Row} row
   */
  show(key, row) {
    const item = this.#items.get(key) ?? document.createElement('li')
    const focused = [...item.querySelectorAll('a, button')].indexOf(document.activeElement ?? item)
    item.className = row.state
    item.replaceChildren(mark(), body(row), actions(row), ...checksum(row))
    if (!this.#items.has(key)) this.#list.prepend(item)
    this.#items.set(key, item)
    this.#section.hidden = false
    const next = [...item.querySelectorAll('a, button')][focused]
    if (next instanceof HTMLElement) next.focus()
  }

  /** @param {string} key */
  remove(key) {
    this.#items.get(key)?.remove()
    this.#items.delete(key)
    this.#section.hidden = this.#items.size === 0
  }
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 */
function create(tag, className, text = '') {
  const made = document.createElement(tag)
  made.className = className
  made.textContent = text
  return made
}

function mark() {
  const made = create('span', 'mark')
  made.setAttribute('aria-hidden', 'true')
  return made
}

/** @param {Row} row */
function body({ name, text }) {
  const made = create('div', 'body')
  made.append(create('strong', 'name', name), create('p', 'text', text))
  return made
}

/** @param {Row} row */
function checksum({ sha256 }) {
  if (sha256 === undefined) return []
  const made = create('p', 'sum', 'SHA-256 ')
  made.append(create('code', '', sha256))
  return [made]
}

/** @param {Row} row */
function actions(row) {
  const made = create('div', 'actions')
  for (const { label, href, run } of row.actions ?? []) {
    const control = create(href === undefined ? 'button' : 'a', 'action', label)
    control.setAttribute('aria-label', `${label}: ${row.name}`)
    if (control instanceof HTMLAnchorElement && href !== undefined) control.href = href
    if (control instanceof HTMLButtonElement) control.type = 'button'
    if (run !== undefined) control.addEventListener('click', run)
    made.append(control)
  }
  return made
}
