import { Dashboard, Tus, Uppy } from 'uppy'
import { failureText, formatBytes } from './format.js'
import { rememberedFor, rememberedUploads } from './remembered.js'
import { askForToken, authorization, hasToken } from './token.js'

/** @typedef {import('./config.js').PageConfig} PageConfig */
/** @typedef {import('./files.js').Files} Files */
/** @typedef {import('./remembered.js').Remembered} Remembered */

/** Waits before a broken upload is tried again, milliseconds: together they outlast a rolling restart. */
const RETRY_DELAYS = [0, 1000, 3000, 5000, 10_000, 20_000, 30_000]
/** Browsers open six HTTP/1.1 connections to a host; some stay free for the page itself. */
const AT_ONCE = 4

/**
 * The drop area: Uppy's Dashboard over tus on our endpoint.
 * @param {PageConfig} config
 * @param {Files} files
 * @param {HTMLElement} target
 * @param {(text: string) => void} say
 */
export function startUploader(config, files, target, say) {
  const uppy = new Uppy({
    restrictions: { maxFileSize: config.maxBytes },
    onBeforeUpload: () => {
      if (config.authMode === 'none' || hasToken()) return true
      uppy.info('Paste an access token first.', 'error', 6000)
      askForToken()
      return false
    },
  })
  uppy.use(Dashboard, {
    target,
    inline: true,
    width: '100%',
    height: 380,
    theme: 'auto',
    singleFileFullScreen: false,
    note: `Up to ${formatBytes(config.maxBytes)} a file`,
    proudlyDisplayPoweredByUppy: false,
  })
  uppy.use(Tus, {
    endpoint: config.endpoint,
    chunkSize: config.chunkBytes,
    retryDelays: RETRY_DELAYS,
    limit: AT_ONCE,
    allowedMetaFields: ['name', 'type'],
    removeFingerprintOnSuccess: true,
    onBeforeRequest: (request) => {
      for (const [name, value] of Object.entries(authorization())) request.setHeader(name, value)
    },
  })
  tellFiles(uppy, config, files, say)
  return uppy
}

/**
 * Tells the list below what happens to the files above.
 * @param {Uppy} uppy
 * @param {PageConfig} config
 * @param {Files} files
 * @param {(text: string) => void} say
 */
function tellFiles(uppy, config, files, say) {
  /** @type {Map<string, { upload: Remembered, moving: boolean }>} Files chosen again, by Uppy's id. */
  const again = new Map()

  uppy.on('file-added', ({ id, name, size }) => {
    const upload = rememberedFor(localStorage, config.endpoint, id)
    if (upload === null) {
      const others = rememberedUploads(localStorage, config.endpoint)
      if (!others.some((one) => one.name === name && one.size === size)) return
      uppy.info(`${name} is not the file that was begun (it was changed since): it is sent whole.`, 'warning', 8000)
      return
    }
    again.set(id, { upload, moving: false })
    files.chosenAgain(upload)
    uppy.info(`${upload.name} goes on where it stopped.`, 'info', 5000)
  })
  uppy.on('upload-progress', (file, { bytesUploaded }) => {
    const one = again.get(file?.id ?? '')
    if (one === undefined || one.moving) return
    one.moving = true
    files.goesOn(one.upload, bytesUploaded)
  })
  uppy.on('file-removed', ({ id }) => {
    files.noLongerFailed(id)
    const one = again.get(id)
    again.delete(id)
    // One that was moving has been terminated with its file; one that only had been chosen can still go on.
    if (one?.moving) files.dropped(one.upload.url)
    else if (one) files.unfinished(one.upload)
  })
  uppy.on('upload-retry', (file) => files.noLongerFailed(file.id))
  uppy.on('upload-error', (file, error, response) => {
    if (file) files.failed(file.id, file.name ?? 'unnamed', reasonOf(error, response))
  })
  uppy.on('upload-success', (file, { uploadURL }) => {
    if (!file || !uploadURL) return
    files.noLongerFailed(file.id)
    const one = again.get(file.id)
    again.delete(file.id)
    // The service may have lost what was remembered; then the file went to a new address.
    if (one && one.upload.url !== uploadURL) files.dropped(one.upload.url)
    files.finished({ url: uploadURL, name: file.name ?? 'unnamed', size: file.size ?? 0 })
  })
  uppy.on('pause-all', () => say('Paused.'))
  uppy.on('resume-all', () => say('Going on.'))
}

/**
 * @param {{ message: string, isNetworkError?: boolean }} error
 * @param {{ status: number, body?: object } | undefined} response
 */
function reasonOf(error, response) {
  const xhr = response?.body && 'xhr' in response.body ? response.body.xhr : null
  if (response) return failureText(response.status, xhr instanceof XMLHttpRequest ? xhr.responseText : '')
  return error.isNetworkError || /caused by \[object ProgressEvent\]/.test(error.message)
    ? failureText(0, '')
    : error.message
}
