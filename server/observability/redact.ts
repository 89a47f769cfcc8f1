/** What must never be in a log: by the name of the field, and by what a text looks like. */

const HIDDEN = '[hidden]'
/** Ends of names, in small letters without `_` and `-`. */
const SECRET_NAMES =
  /(?:^token|authorization|cookie|password|passwd|secret|privatekey|accesskey|accesskeyid|apikey|(?:access|refresh|id|session|bearer|security)token)$/

/** `?token=…`, `&access_token=…`, `X-Amz-Signature=…`; ends before anything that may end a JSON text. */
const QUERY_SECRETS =
  /((?:^|[?&\s"])(?:token|access_token|id_token|refresh_token|password|secret|api_key|x-amz-signature|x-amz-credential|x-amz-security-token)=)[^&\s"\\#]+/gi
const BEARER = /(\b(?:Bearer|Basic) +)[A-Za-z0-9._~+/=-]{6,}/gi
const URL_PASSWORDS = /(\b[a-z][a-z0-9+.-]*:\/\/)[^/\s"\\@]+@/gi

/** Is a field of this name hidden, whatever it holds? */
export function isSecretName(name: string): boolean {
  return SECRET_NAMES.test(name.toLowerCase().replaceAll(/[_-]/g, ''))
}

/** A line of the log (JSON) or any text, without the secrets that can be told by their looks. */
export function scrub(text: string): string {
  return text
    .replace(URL_PASSWORDS, `$1${HIDDEN}@`)
    .replace(QUERY_SECRETS, `$1${HIDDEN}`)
    .replace(BEARER, `$1${HIDDEN}`)
}

export { HIDDEN }
