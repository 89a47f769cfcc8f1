/**
 * A Postgres bigint as a number, on both drivers (`pg` would give a string, PGlite a number or a BigInt). Lengths and
 * generations stay below 2^53; one that does not must never be rounded in silence.
 */
export function parseInt8(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`bigint ${text} from the database is above 2^53-1`)
  return value
}

/** The type's number in pg_type. */
export const INT8_OID = 20
