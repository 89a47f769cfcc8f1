const DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/

/**
 * The number of bytes that `text` spells, or null. Only digits without leading zeros, at most 2^53 - 1: a value that
 * would be rounded is none (tus 1.0: "a non-negative integer").
 */
export function parseByteCount(text: string): number | null {
  if (!DECIMAL.test(text)) return null
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : null
}
