import { downloadWithToken, offsetOf, recordOf, terminate } from './api.js'
import { finishedUploads, forgetFinished, keepFinished } from './finished.js'
import { formatBytes, formatShare } from './format.js'
import { rememberedUploads } from './remembered.js'

/** @typedef {import('./config.js').PageConfig} PageConfig */
/** @typedef {import('./finished.js').Finished} Finished */
/** @typedef {import('./remembered.js').Remembered} Remembered */
/** @typedef {import('./rows.js').Action} Action */

/** Waits between two looks at a record, milliseconds; then a button asks again. */
const LOOKS = [300, 700, 1000, 2000, 3000, 5000, 5000, 10_000, 10_000, 20_000]
const BEING_CHECKED = new Set(['finishing', 'uploaded', 'processing'])
const GONE = new Set(['terminated', 'expired', 'lost', 'erased'])

/** What became of each file, below the drop area: unfinished ones of earlier visits, failed ones, those that arrived. */
export class Files {
  #config
  #rows
  #say
  /** Addresses of unfinished uploads whose file lies in the drop area now. */
  #chosen = new Set()

  /**
   * @param {PageConfig} config
   * @param {import('./rows.js').RowList} rows
   * @param {(text: string) => void} say Reads a line out.
   */
  constructor(config, rows, say) {
    this.#config = config
    this.#rows = rows
    this.#say = say
  }

  /** Shows what earlier visits left: files that arrived in this tab, unfinished ones of this browser. */
  restore() {
    for (const upload of finishedUploads().reverse()) this.#watch(upload)
    for (const upload of rememberedUploads(localStorage, this.#config.endpoint).reverse()) {
      if (!this.#chosen.has(upload.url)) this.unfinished(upload)
    }
  }

  /**
   * An upload that was begun and can go on once its file is chosen again.
   * @param {Remembered} upload
   */
  async unfinished(upload) {
    const { url, name, size, key } = upload
    this.#chosen.delete(url)
    const actions = [{ label: 'Discard', run: () => this.#discard(upload) }]
    /** @param {string} there */
    const show = (there) =>
      this.#rows.show(url, { state: 'waiting', name, text: `${there} Choose the same file again to go on.`, actions })
    show('Not finished.')
    const offset = await offsetOf(url)
    if (offset === null || this.#chosen.has(url)) return
    if (offset === 'gone' || offset >= size) localStorage.removeItem(key)
    if (offset === 'gone') return this.#rows.remove(url)
    if (offset >= size) return this.finished(upload)
    show(`Not finished: ${formatShare(offset, size)} arrived.`)
  }

  /**
   * A file was chosen again that had been begun before.
   * @param {Remembered} upload
   */
  chosenAgain({ url, name }) {
    this.#chosen.add(url)
    const text = 'Chosen again: press Upload, and it goes on where it stopped.'
    this.#rows.show(url, { state: 'waiting', name, text })
    this.#say(`${name}: ${text}`)
  }

  /**
   * It goes on; `offset` bytes were there already.
   * @param {Remembered} upload
   * @param {number} offset
   */
  goesOn({ url, name, size }, offset) {
    const text = `Going on where it stopped: ${formatShare(offset, size)} were there already.`
    this.#rows.show(url, { state: 'moving', name, text })
    this.#say(`${name}: ${text}`)
  }

  /**
   * @param {string} fileId
   * @param {string} name
   * @param {string} why
   */
  failed(fileId, name, why) {
    this.#rows.show(`file:${fileId}`, { state: 'failed', name, text: why })
    this.#say(`${name} failed: ${why}`)
  }

  /** @param {string} fileId */
  noLongerFailed(fileId) {
    this.#rows.remove(`file:${fileId}`)
  }

  /** @param {string} url */
  dropped(url) {
    this.#chosen.delete(url)
    this.#rows.remove(url)
  }

  /** @param {Finished} upload */
  finished({ url, name, size }) {
    this.#chosen.delete(url)
    keepFinished({ url, name, size })
    this.#say(`${name} arrived.`)
    return this.#watch({ url, name, size })
  }

  /**
   * Shows a file that arrived, and its checksum once the service has computed it.
   * @param {Finished} upload
   */
  async #watch(upload) {
    const { name, size, url } = upload
    const arrived = `${formatBytes(size)} arrived.`
    const actions = [this.#download(upload), { label: 'Hide', run: () => this.#hide(url) }]
    this.#rows.show(url, { state: 'stored', name, text: `${arrived} Its checksum is being computed.`, actions })
    for (const wait of LOOKS) {
      await new Promise((resolve) => setTimeout(resolve, wait))
      if (!finishedUploads().some((one) => one.url === url)) return
      const record = await recordOf(url)
      if (record === null || BEING_CHECKED.has(record.state)) continue
      if (GONE.has(record.state)) return this.#hide(url)
      const { sha256 } = record
      if (record.state === 'rejected') {
        const text = 'It arrived, but the checks of the service refused it.'
        return this.#rows.show(url, { state: 'failed', name, text, actions: actions.slice(1) })
      }
      return this.#rows.show(url, { state: 'stored', name, text: arrived, actions, ...(sha256 && { sha256 }) })
    }
    const again = { label: 'Look again', run: () => void this.#watch(upload) }
    const text = `${arrived} Its checksum is not computed yet.`
    this.#rows.show(url, { state: 'stored', name, text, actions: [again, ...actions] })
  }

  /**
   * @param {Finished} upload
   * @returns {Action}
   */
  #download({ url, name }) {
    if (this.#config.authMode === 'none') return { label: 'Download', href: url }
    const run = () => {
      this.noLongerFailed(url)
      downloadWithToken(url, name).catch((error) => this.failed(url, name, error.message))
    }
    return { label: 'Download', run }
  }

  /** @param {string} url */
  #hide(url) {
    forgetFinished(url)
    this.#rows.remove(url)
  }

  /** @param {Remembered} upload */
  async #discard({ url, key, name }) {
    if (!confirm(`Discard what arrived of ${name}?`)) return
    try {
      await terminate(url)
      localStorage.removeItem(key)
      this.#rows.remove(url)
      this.#say(`${name} is discarded.`)
    } catch (error) {
      this.failed(url, name, error instanceof Error ? error.message : String(error))
    }
  }
}
