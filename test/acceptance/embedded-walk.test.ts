/**
 * The embedded service dies at every step that it makes on its files: right before it, in the middle of a write, and by a
 * power cut that takes back what was not synced. A step is each change in the file store and the record files and each
 * sync of the database. At some its database is lost as well. After each: it starts again, the client goes on where it was told it is, the content is the
 * source's, one finish event was told, and when the sweep has passed there is a file for each upload and nothing else.
 *
 * The power cut is simulated (test/support/fs-faults/disk.ts): its two forms are the ends of what a disk may do, that
 * nothing unsynced is there, and that every name is there and no unsynced byte.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Blow } from '../support/fs-faults/control.ts'
import { EmbeddedStage } from './support/embedded-stage.ts'
import { eventually, idOf, sha256 } from './support/tus.ts'
import { Client } from './walk/support/client.ts'
import { LONG, REPEAT, sampled } from './walk/support/sample.ts'
import {
  CONCATENATION,
  DEFERRED,
  ONE_LARGE_PATCH,
  type Shape,
  SMALL_PATCHES,
  TINY_POST,
} from './walk/support/shapes.ts'

interface Place {
  readonly step: number
  readonly what: string
  readonly blow: Blow
  /** The database goes with it: what is in the record files must do. */
  readonly lost: boolean
}

/**
 * Which blows fall at which steps. A cut differs from the one before only when something was synced or renamed in between;
 * the loss of the database, when something became of a record.
 */
const BLOWS: readonly (readonly [steps: RegExp, blow: Blow, lost: boolean])[] = [
  [/./, 'kill', false],
  [/ write$/, 'torn', false],
  [/^(store|db) sync/, 'cut-all', false],
  [/^store (sync-folder|rename)$/, 'cut-bytes', false],
  [/^(records|db) sync/, 'cut-all', true],
  [/^records (sync-folder|rename)$/, 'cut-bytes', true],
]

const TRIES = 3

/** One data directory, along which `shapes` are walked; `count` places each in a short run. */
function walkAlong(name: string, shapes: readonly Shape[], count: number): void {
  describe(name, { timeout: 3_000_000 }, () => {
    let stage: EmbeddedStage
    const finished: { readonly path: string; readonly how: string }[] = []

    before(async () => {
      stage = await EmbeddedStage.open()
    })
    after(() => stage?.close())

    async function upload(shape: Shape, how: string, meanwhile: () => Promise<void> = async () => {}): Promise<void> {
      const client = new Client(() => [stage.url])
      const path = await shape.upload(client)
      await meanwhile()
      assert.equal(sha256(await client.content(path)), sha256(shape.bytes), `${how}: the content is not the source`)
      finished.push({ path, how })
    }

    /** `answered`: how many steps there were when the client had its last answer. */
    async function counted(shape: Shape): Promise<{ readonly steps: readonly string[]; readonly answered: number }> {
      await stage.beginCounting()
      let answered = 0
      await upload(shape, `${shape.name}, undisturbed`, async () => {
        answered = (await stage.steps()).length
      })
      await stage.rest()
      return { steps: await stage.steps(), answered }
    }

    /** False: the step was not reached, because what goes on beside the client took a turn less this time. */
    async function struck(shape: Shape, { step, blow, what, lost }: Place): Promise<boolean> {
      const how = `${shape.name}, ${blow} at step ${step} (${what})${lost ? ', and its database is lost' : ''}`
      const { revived, giveUp } = await stage.strike(step, blow, lost)
      let reached = false
      try {
        await upload(shape, how, async () => {
          // What is left to do goes on behind the last answer; an error here may be the very death.
          void stage.rest().then(giveUp, () => sleep(10_000).then(giveUp))
          reached = await revived
          if (!reached) await stage.beginCounting()
        })
      } catch (error) {
        throw new Error(`${how}\n${stage.logs()}`, { cause: error })
      }
      return reached
    }

    /** The places that were reached. */
    async function walked(shape: Shape, places: readonly Place[]): Promise<Place[]> {
      const reached: Place[] = []
      for (const place of places) {
        for (let tries = 0; tries < TRIES && reached.at(-1) !== place; tries++) {
          if (await struck(shape, place)) reached.push(place)
        }
      }
      return reached
    }

    for (const shape of shapes) {
      test(shape.name, async (t) => {
        const { steps, answered } = await counted(shape)
        const places = steps.flatMap((what, step): Place[] =>
          BLOWS.filter(([fitting]) => fitting.test(what)).map(([, blow, lost]) => ({ step, what, blow, lost })),
        )
        const chosen = sampled(places, count, `embedded, ${shape.name}`)
        const reached = await walked(shape, chosen)
        // Behind the last answer events are told, several at once or one by one: a few steps more or less each time.
        const missed = chosen.filter((place) => place.step < answered && !reached.includes(place))
        assert.deepEqual(missed, [], 'every place before the last answer was reached')
        const all = `${places.length} places, along ${steps.length} steps, ${answered} of them before the last answer`
        t.diagnostic(`${reached.length} of ${chosen.length} chosen places walked, of ${all}`)
      })
    }

    test('each finished once, and when the sweep has passed nothing is left but their files', async () => {
      await stage.rest()
      await stage.kill()
      await stage.age()
      await stage.start({ ORPHAN_SWEEP_EVERY: '1s', ORPHAN_AGE: '1s', SWEEP_EVERY: '1s' })
      await stage.rest()
      const known = new Map((await stage.uploads()).map(({ id, state }) => [id, state]))
      for (const { path, how } of finished) {
        assert.equal((await stage.told(path)).length, 1, `${how}: finish events`)
        assert.equal(known.get(idOf(path)), 'available', how)
      }
      await eventually(async () => (await leftOvers(stage, known)).length === 0, 'the sweep', 30_000).catch(() => {})
      assert.deepEqual(await leftOvers(stage, known), [])
      const recorded = (await stage.files('records')).map((file) => /([0-9a-f-]{36})\.record$/.exec(file)?.[1] ?? file)
      assert.deepEqual(recorded.sort(), [...known.keys()].sort(), 'one record an upload')
      await stage.stop()
    })
  })
}

const UPLOAD_ID = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/

/** What is in the store beside one file for each finished upload. */
async function leftOvers(stage: EmbeddedStage, known: ReadonlyMap<string, string>): Promise<string[]> {
  const seen = new Set<string>()
  return (await stage.files('store')).filter((file) => {
    const id = UPLOAD_ID.exec(file)?.[0] ?? ''
    const state = known.get(id)
    // Creations whose answer was lost are uploads too: they expire in their own time.
    if (state === 'created' || state === 'receiving') return false
    const isFirst = !seen.has(id) && (state === 'available' || state === 'uploaded')
    seen.add(id)
    return !isFirst
  })
}

const SHAPES = [ONE_LARGE_PATCH, SMALL_PATCHES, TINY_POST, DEFERRED, CONCATENATION]

// A start takes longer than an upload: the long walk goes along several shapes at once, each in its own directory.
describe(`the embedded service dies along every step on its files (${REPEAT})`, { concurrency: LONG ? 3 : 1 }, () => {
  if (LONG) for (const shape of SHAPES) walkAlong(`${shape.name}, alone`, [shape], 0)
  else walkAlong('one after another', SHAPES, 1)
})
