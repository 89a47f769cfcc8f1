/** What a value looks like in a message: never a secret, never long. */

const SHOWN = 80

/** `"…"` for a message, or `(hidden)`; a user name and password inside a URL are taken out even of values that are no secret. */
export function shown(value: string, secret: boolean): string {
  if (secret) return '(value hidden)'
  const open = value.replace(/\/\/[^/?#\s]*@/g, '//***@').replace(/\p{C}/gu, '?')
  return JSON.stringify(open.length > SHOWN ? `${open.slice(0, SHOWN)}…` : open)
}
