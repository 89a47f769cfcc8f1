/** One shape, struck by blows at its S3 requests, one a run; and what must be true of each run. */
import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { eventually, sha256 } from '../../support/tus.ts'
import type { Aftermath } from './aftermath.ts'
import { Client } from './client.ts'
import { sampled } from './sample.ts'
import type { Shape } from './shapes.ts'
import type { Stage } from './stage.ts'
import type { Blow } from './track.ts'

interface Place {
  readonly boundary: number
  readonly blow: Blow
}

export interface Walked {
  /** S3 requests of a run that nothing happens to. */
  readonly boundaries: number
  readonly places: number
  /** How many of them were walked. */
  readonly walked: number
}

const counted = new WeakMap<Stage, Map<Shape, string[]>>()

/** A machine with no time for its leases disturbs a run: it is made again so often. */
const DISTURBED = 3

/** Two clean runs make the same requests; once a stage and shape. */
async function countedRun(stage: Stage, aftermath: Aftermath, shape: Shape): Promise<string[]> {
  const known = counted.get(stage) ?? new Map<Shape, string[]>()
  counted.set(stage, known)
  const before = known.get(shape)
  if (before) return before
  let clean = await cleanRun(stage, aftermath, shape)
  assert.ok(clean.length > 0, 'the upload makes no S3 request that could be walked')
  for (let left = DISTURBED; ; left--) {
    const again = await cleanRun(stage, aftermath, shape)
    if (isDeepStrictEqual(again, clean)) break
    assert.ok(left > 0, `clean runs make other S3 requests each time: ${clean}, then ${again}`)
    clean = again
  }
  known.set(shape, clean)
  return clean
}

/**
 * Counts the shape's S3 requests in two clean runs, then runs it once for each place (`count` of them without
 * TEST_LONG=1), that is each blow at each request it `fits`.
 */
export async function walk(
  stage: Stage,
  aftermath: Aftermath,
  shape: Shape,
  blows: readonly Blow[],
  count: number,
  fits: (boundary: number, operation: string) => boolean = () => true,
): Promise<Walked> {
  const clean = await countedRun(stage, aftermath, shape)
  const places = clean.flatMap((operation, boundary) => {
    const fitting = blows.filter(({ only }) => only === undefined || only === operation)
    return fits(boundary, operation) ? fitting.map((blow) => ({ boundary, blow })) : []
  })
  const chosen = sampled(places, count, `${shape.name}, ${blows[0]?.name}`)
  const reached: string[] = []
  for (const place of chosen) {
    let operation = await struckRun(stage, aftermath, shape, place)
    for (let left = DISTURBED; left > 0 && operation !== clean[place.boundary]; left--) {
      operation = await struckRun(stage, aftermath, shape, place)
    }
    reached.push(operation)
  }
  // Each place was struck, and at the request that the clean run had there.
  assert.deepEqual(
    reached,
    chosen.map(({ boundary }) => clean[boundary]),
  )
  return { boundaries: clean.length, places: places.length, walked: reached.length }
}

/** The operations, in order, those in the background after the last answer too. */
async function cleanRun(stage: Stage, aftermath: Aftermath, shape: Shape): Promise<string[]> {
  const { track } = stage
  const client = new Client(() => stage.origins)
  track.begin({ slow: shape.slow })
  const path = await shape.upload(client)
  // A run that nothing happens to needs no sweep: when its leftovers are gone, nothing more comes.
  await eventually(async () => track.idle && (await aftermath.isTidy(track.ids)), `${shape.name} tidies up`, 30_000)
  const operations = track.operations
  track.begin()
  await came(aftermath, client, shape, path, `${shape.name}, a clean run`)
  return operations
}

/** Returns the operation that the blow fell upon. */
async function struckRun(stage: Stage, aftermath: Aftermath, shape: Shape, place: Place): Promise<string> {
  const { track } = stage
  const { boundary, blow } = place
  const client = new Client(() => stage.origins)
  track.begin({ blow, boundary, slow: shape.slow })
  try {
    const path = await shape.upload(client)
    const operation = await track.struckAt()
    await blow.heal()
    track.begin()
    await came(aftermath, client, shape, path, `${shape.name}, ${blow.name} request ${boundary} (${operation})`)
    return operation
  } catch (error) {
    await blow.heal()
    const logs = stage.logs()
    throw new Error(`${shape.name}, ${blow.name} request ${boundary}: S3 saw ${track.operations}\n${logs}`, {
      cause: error,
    })
  }
}

/** The content is the source's, now and when all is over. */
async function came(aftermath: Aftermath, client: Client, shape: Shape, path: string, how: string): Promise<void> {
  const expected = sha256(shape.bytes)
  assert.equal(sha256(await client.content(path)), expected, `${how}: the content is not the source`)
  aftermath.expect({ path, sha256: expected, how })
}
