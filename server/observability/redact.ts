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

/** The names of a program's fields are few; those of data could be many. */
const MOST_NAMES = 1000
const judged = new Map<string, boolean>()

/** Is a field of this name hidden, whatever it holds? */
export function isSecretName(name: string): boolean {
  const known = judged.get(name)
  if (known !== undefined) return known
  const secret = SECRET_NAMES.test(name.toLowerCase().replaceAll(/[_-]/g, ''))
  if (judged.size < MOST_NAMES) judged.set(name, secret)
  return secret
}

/** A line of the log (JSON) or any text, without the secrets that can be told by their looks. */
export function scrub(text: string): string {
  // Most lines hold neither: looking for the sign costs a fraction of looking for the form.
  const urls = text.includes('://') ? text.replace(URL_PASSWORDS, `$1${HIDDEN}@`) : text
  const queries = urls.includes('=') ? urls.replace(QUERY_SECRETS, `$1${HIDDEN}`) : urls
  return queries.replace(BEARER, `$1${HIDDEN}`)
}

export { HIDDEN }
