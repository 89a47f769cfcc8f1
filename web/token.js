import { element } from './config.js'

const KEY = 'upload-page.token'

/** The Authorization header that goes with each request; empty when no token is needed or none is there. */
export function authorization() {
  const token = sessionStorage.getItem(KEY)
  return token === null ? {} : { Authorization: `Bearer ${token}` }
}

/** Is a token kept in this tab? */
export function hasToken() {
  return sessionStorage.getItem(KEY) !== null
}

/** Puts the cursor where a token is expected. */
export function askForToken() {
  element('token-input').focus()
}

/**
 * Shows the field for a token and keeps what is pasted for as long as the tab lives.
 * @param {() => void} onChange
 */
export function showTokenForm(onChange) {
  const form = element('token')
  const input = element('token-input')
  const note = element('token-note')
  if (!(input instanceof HTMLInputElement)) throw new Error('the token field is no input')
  const say = () => {
    if (!hasToken()) return
    note.textContent = 'A token is set. It stays in this tab; paste another one to replace it.'
    input.placeholder = '••••••••'
  }
  form.hidden = false
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const token = input.value.trim().replace(/^Bearer\s+/i, '')
    if (token === '') return input.focus()
    sessionStorage.setItem(KEY, token)
    input.value = ''
    say()
    onChange()
  })
  say()
}
