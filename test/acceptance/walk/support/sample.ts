/** Which places of a walk a run visits: all with TEST_LONG=1, else some, the same ones for the same seed. */
import { createHash } from 'node:crypto'
import { type TestS3, testServices } from '../../../support/services.ts'

export const LONG = process.env.TEST_LONG === '1'

/** Another sample each day; TEST_WALK_SEED takes that of an earlier run again. */
export const SEED = process.env.TEST_WALK_SEED ?? new Date().toISOString().slice(0, 10)

/** For the names of tests and for failures. */
export const REPEAT = LONG ? 'all places' : `a sample; TEST_WALK_SEED=${SEED} takes the same again, TEST_LONG=1 all`

const drawn = (name: string): string => createHash('sha256').update(`${SEED}:${name}`).digest('hex')

/** `count` of the places, in their order; `name` tells one draw from another. */
export function sampled<T>(places: readonly T[], count: number, name: string): readonly T[] {
  if (LONG || count >= places.length) return places
  const lots = places.map((_, index) => ({ index, lot: drawn(`${name}:${index}`) }))
  const taken = new Set(
    lots
      .sort((a, b) => (a.lot < b.lot ? -1 : 1))
      .slice(0, count)
      .map(({ index }) => index),
  )
  return places.filter((_, index) => taken.has(index))
}

/** With TEST_LONG=1 both stores, else the one named. */
export function storesOf(short: TestS3['name']): readonly TestS3[] {
  return testServices().s3.filter(({ name }) => LONG || name === short)
}
