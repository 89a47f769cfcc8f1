import assert from 'node:assert/strict'
import type { Rule } from '../support/rule.ts'
import { FULL, fill, SMALL } from '../support/stage.ts'

const FINISH_FILE = 'server/uploads/finish.ts'
const SEGMENTS = 'server/uploads/segments.ts'

export const FINISH: readonly Rule[] = [
  {
    name: 'a finished object has a key of its own',
    without: [
      {
        file: 'server/uploads/keys.ts',
        find: '{ prefix, id, tenant, generation, token })',
        replace: "{ prefix, id, tenant, generation: 0, token: token && '0' })",
      },
    ],
    breaks: /byte 0 was acknowledged as B and is A/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance()]
      const id = await stage.create(a, 1000)
      const put = a.gates.hold('store', 'putObject')
      const old = a.patch(id, 0, fill('A', 1000))
      await put.here()
      await stage.leaseEnds(id)
      assert.deepEqual(await b.patch(id, 0, fill('B', 1000)), { code: 'ok', offset: 1000 })
      await put.land()
      put.answer()
      await old
      await stage.finish(id, b, 1000)
    },
  },
  {
    name: 'a finish completes the recorded parts, not what the store lists',
    without: [
      {
        file: FINISH_FILE,
        find: 'open.hold, await open.recordedParts(), true)',
        replace: 'open.hold, (await open.store.listParts(multipartKey, multipartId)) ?? [], true)',
      },
    ],
    breaks: /cannot be finished: internal/,
    async trace(stage) {
      const a = await stage.instance()
      const id = await stage.create(a, null)
      await a.patch(id, 0, fill('A', SMALL))
      await stage.foreignPart(id, 2, fill('X', SMALL))
      await stage.finish(id, a, SMALL)
    },
  },
  {
    name: 'the row says that and of what an upload is being finished before its object counts',
    without: [
      { file: FINISH_FILE, find: "if (open.row.state !== 'finishing') {", replace: 'if (open.row.id === "") {' },
      { file: FINISH_FILE, find: "{ enter: ['uploaded'] }", replace: "{ enter: ['finishing', 'uploaded'] }" },
    ],
    breaks: /stored bytes have to be sent again/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance()]
      const id = await stage.create(a, 1000)
      const last = a.gates.hold('records', 'change', ([, , options]) => JSON.stringify(options).includes('"uploaded"'))
      const sent = a.patch(id, 0, fill('A', 1000))
      await last.here()
      a.gates.stop()
      await stage.leaseEnds(id)
      assert.deepEqual(await b.head(id), { code: 'ok', offset: 1000 }, 'stored bytes have to be sent again')
      await stage.finish(id, b, 1000)
      void sent
    },
  },
  {
    name: 'HEAD does not show the length before the object is whole',
    without: [
      {
        file: 'server/uploads/inspecting.ts',
        find: 'if (offset !== null && offset !== row.length) {',
        replace: 'if (offset !== null) {',
      },
    ],
    breaks: /the length was shown before there was an object/,
    async trace(stage) {
      const parts = { partBytes: FULL }
      const [a, b] = [await stage.instance(parts), await stage.instance(parts)]
      const length = FULL + 100
      const id = await stage.create(a, length)
      const last = a.gates.hold('store', 'uploadPart', ([, , number]) => number === 2)
      const sent = a.patch(id, 0, fill('A', length))
      await last.here()
      const asked = a.gates.heard('flush')
      const head = b.head(id)
      await asked
      const finishing = a.gates.hold('records', 'change', ([, , options]) =>
        JSON.stringify(options).includes('finishing'),
      )
      last.go()
      await finishing.here()
      assert.equal((await head).code, 'upload_busy', 'the length was shown before there was an object')
      finishing.go()
      await sent
      await stage.finish(id, b, length)
    },
  },
  {
    name: 'HEAD counts nothing in the store without a hold',
    without: [
      {
        file: 'server/uploads/inspecting.ts',
        find: "import { openUpload } from './opening.ts'",
        replace: "import { openUpload } from './opening.ts'\nimport { listTails } from './recovery.ts'",
      },
      {
        file: 'server/uploads/recovery.ts',
        find: 'async function listTails(',
        replace: 'export async function listTails(',
      },
      {
        file: 'server/uploads/inspecting.ts',
        find: '  const seen = await context.coordination.peek(row.id)\n  switch',
        replace: `  const seen = await context.coordination.peek(row.id).catch(() => null)
  if (!seen) return Math.max(0, ...(await listTails(context, row)).map((tail) => tail.end))
  switch`,
      },
    ],
    breaks: /offset 50 was told after 150/,
    async trace(stage) {
      const [a, b, c] = [await stage.instance(), await stage.instance(), await stage.instance()]
      const id = await stage.create(a, 1000)
      await a.patch(id, 0, fill('A', 50))
      const put = a.gates.hold('store', 'putObject')
      const old = a.patch(id, 50, fill('A', 100))
      await put.here()
      await put.land()
      // Redis is away for the instance that is asked; the holder's successor counts what the session says.
      const peek = b.gates.hold('coordination', 'peek')
      const head = b.head(id)
      await peek.here()
      peek.lose()
      await head
      a.gates.stop()
      await stage.leaseEnds(id)
      await c.head(id)
      await stage.finish(id, c, 1000)
      void old
    },
  },
  {
    name: 'a part that is not the recorded one is not taken',
    without: [
      {
        file: SEGMENTS,
        find: 'crc32 === null || crcInStore(found) !== crc32',
        replace: 'crc32 === undefined',
      },
      // The store checks the CRC-32 of the whole, too.
      { file: SEGMENTS, find: '{ bytes, crc32 })\n    if (answer', replace: '{ bytes, crc32: null })\n    if (answer' },
    ],
    breaks: /byte 0 was acknowledged as A and is X/,
    async trace(stage) {
      const a = await stage.instance()
      const id = await stage.create(a, null)
      await a.patch(id, 0, fill('A', SMALL))
      await stage.foreignPart(id, 1, fill('X', SMALL))
      // Not finished with wrong bytes: it fails, and loudly.
      const finished = await a.patch(id, SMALL, fill('A', 0), { declaredLength: SMALL })
      if (finished.code === 'ok') await stage.finish(id, a, SMALL)
      else assert.equal(finished.code, 'internal')
    },
  },
]
