/** The upload page: shows what earlier visits left, then takes files. */
import { element, readConfig } from './config.js'
import { Files } from './files.js'
import { RowList } from './rows.js'
import { showTokenForm } from './token.js'
import { startUploader } from './uploader.js'

const config = readConfig()
const announcer = element('announcer')
/** @param {string} text */
const say = (text) => {
  announcer.textContent = text
}
const files = new Files(config, new RowList(element('files'), element('rows')), say)

if (config.authMode === 'jwt') showTokenForm(() => files.restore())
startUploader(config, files, element('dashboard'), say)
files.restore()
