import assert from 'node:assert/strict'
import type { Rule } from '../support/rule.ts'
import { FULL, fill, SMALL, type Stage } from '../support/stage.ts'

const RECOVERY = 'server/uploads/recovery.ts'
const SEGMENTS = 'server/uploads/segments.ts'

export const FREEZE: readonly Rule[] = [
  {
    name: 'a takeover ends the open multipart upload',
    without: [
      {
        file: 'server/uploads/opening.ts',
        find: "if (taken.kind === 'clean') {",
        replace: "if (taken.kind === 'clean' || taken.kind === 'unclean') {",
      },
      {
        file: 'server/uploads/hold-keeper.ts',
        find: "taken.kind === 'clean' ? taken.session.generation : null",
        replace: "taken.kind === 'rebuild' ? null : taken.session.generation",
      },
    ],
    breaks: /cannot be finished: internal/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance()]
      const id = await stage.create(a, null)
      const part = a.gates.hold('store', 'uploadPart')
      const old = a.patch(id, 0, fill('A', SMALL))
      await part.here()
      await stage.leaseEnds(id)
      await b.patch(id, 0, fill('B', SMALL))
      await part.land()
      await stage.finish(id, b, SMALL)
      void old
    },
  },
  {
    name: 'a takeover makes a segment of the recorded parts',
    without: [
      {
        file: RECOVERY,
        find: 'return endMultipart(open.store, row, hold, await open.recordedParts(), true)',
        replace: 'return endMultipart(open.store, row, hold, (await open.recordedParts()).slice(0, 0), true)',
      },
    ],
    breaks: /was told after/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance()]
      const id = await stage.create(a, null)
      await a.patch(id, 0, fill('A', SMALL))
      const open = a.stream(id, SMALL, 100)
      await stage.isHeld(id)
      a.gates.stop()
      await stage.leaseEnds(id)
      await b.head(id)
      await stage.finish(id, b, SMALL + 100)
      void open
    },
  },
  {
    name: 'somebody froze before: the size of the segment is that of the object, not of the list that was sent',
    without: [
      {
        file: SEGMENTS,
        find: 'if (object) return segment(object.bytes, object.bytes === bytes ? crc32 : null)',
        replace: 'if (object) return segment(bytes, crc32)',
      },
    ],
    breaks: /cannot be finished|the object has/,
    trace: frozenBefore,
  },
  {
    name: 'somebody froze before: the object counts, although the multipart upload is gone',
    without: [
      {
        file: SEGMENTS,
        find: 'if (object) return segment(object.bytes, object.bytes === bytes ? crc32 : null)',
        replace: 'if (object === undefined) return segment(bytes, crc32)',
      },
    ],
    breaks: /cannot be finished: upload_gone|was told after/,
    trace: frozenBefore,
  },
  {
    name: 'a segment that was made and not committed counts as what its object holds',
    without: [
      {
        file: SEGMENTS,
        find: 'if (object) return segment(object.bytes, null)',
        replace: 'if (object === undefined) return segment(0, null)',
      },
    ],
    breaks: /offset 0 was told after/,
    async trace(stage) {
      const [a, b] = [await stage.instance({ segmentParts: 1 }), await stage.instance()]
      const id = await stage.create(a, null)
      await a.patch(id, 0, fill('A', SMALL))
      const commit = a.gates.hold('records', 'change', ([, it]) => JSON.stringify(it).includes('"segments"'))
      const rolling = a.patch(id, SMALL, fill('A', SMALL))
      await commit.here()
      a.gates.stop()
      await stage.forget(id)
      await b.head(id)
      await stage.finish(id, b, 2 * SMALL)
      void rolling
    },
  },
  {
    name: 'a listed part counts when it is short and ends at the length',
    without: [
      {
        file: RECOVERY,
        find: '(part.bytes !== row.partBytes && !last)',
        replace: 'part.bytes !== row.partBytes',
      },
    ],
    breaks: /stored bytes have to be sent again/,
    async trace(stage) {
      const parts = { partBytes: FULL }
      const [a, b] = [await stage.instance(parts), await stage.instance(parts)]
      const length = FULL + 100
      const id = await stage.create(a, length)
      const finishing = a.gates.hold('records', 'change', ([, , options]) =>
        JSON.stringify(options).includes('finishing'),
      )
      const sent = a.patch(id, 0, fill('A', length))
      await finishing.here()
      a.gates.stop()
      await stage.forget(id)
      assert.deepEqual(await b.head(id), { code: 'ok', offset: length }, 'stored bytes have to be sent again')
      await stage.finish(id, b, length)
      void sent
    },
  },
]

/** One that takes over sends Complete and dies; its successor finds one part more, and the late Complete comes first. */
async function frozenBefore(stage: Stage): Promise<void> {
  const parts = { partBytes: FULL }
  const [a, b, c] = [await stage.instance(parts), await stage.instance(parts), await stage.instance(parts)]
  const id = await stage.create(a, null)
  await a.patch(id, 0, fill('A', FULL))
  const part = a.gates.hold('store', 'uploadPart')
  const old = a.patch(id, FULL, fill('A', FULL))
  await part.here()
  a.gates.stop()
  await stage.forget(id)
  const first = b.gates.hold('store', 'completeMultipart')
  const died = b.head(id)
  await first.here()
  b.gates.stop()
  await stage.leaseEnds(id)
  await part.land()
  const second = c.gates.hold('store', 'completeMultipart')
  const taking = c.head(id)
  await second.here()
  await first.land()
  second.go()
  await taking
  await stage.finish(id, c, 2 * FULL + 100)
  void [old, died]
}
