import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RecordsSubject } from '../contract.ts'
import { newTenant, newUpload } from '../fixtures.ts'

export function listContract(subject: RecordsSubject): void {
  test('list: newest first, page after page without a gap while rows come in', async () => {
    const { records } = subject().database
    const tenant = newTenant()
    const there: string[] = []
    for (let n = 0; n < 23; n += 1) there.unshift((await records.insert(newUpload({ tenant }), ['created'])).id)

    const seen: string[] = []
    let cursor: string | null = null
    do {
      const page = await records.list({ tenant, limit: 5, ...(cursor === null ? {} : { cursor }) })
      assert.ok(page.items.length <= 5)
      seen.push(...page.items.map((upload) => upload.id))
      cursor = page.nextCursor
      await Promise.all([1, 2, 3].map(() => records.insert(newUpload({ tenant }), ['created'])))
    } while (cursor !== null)
    assert.deepEqual(seen, there)
  })

  test('list: an exact last page has no next one', async () => {
    const { records } = subject().database
    const tenant = newTenant()
    for (let n = 0; n < 4; n += 1) await records.insert(newUpload({ tenant }), ['created'])
    const first = await records.list({ tenant, limit: 2 })
    assert.ok(first.nextCursor)
    const second = await records.list({ tenant, limit: 2, cursor: first.nextCursor })
    assert.equal(second.items.length, 2)
    assert.equal(second.nextCursor, null)
    assert.deepEqual(await records.list({ tenant: newTenant(), limit: 100 }), { items: [], nextCursor: null })
  })

  test('list: one tenant only, and the filters', async () => {
    const { records } = subject().database
    const tenant = newTenant()
    const mine = await records.insert(newUpload({ tenant, owner: 'me', contentType: 'a/b' }), ['created', 'uploaded'])
    const yours = await records.insert(newUpload({ tenant, owner: 'you' }), ['created'])
    await records.insert(newUpload({ tenant: newTenant(), owner: 'me' }), ['created'])
    const ids = async (filter: object) =>
      (await records.list({ tenant, limit: 10, ...filter })).items.map((upload) => upload.id)

    assert.deepEqual(await ids({}), [yours.id, mine.id])
    assert.deepEqual(await ids({ owner: 'me' }), [mine.id])
    assert.deepEqual(await ids({ owner: "me' or '1'='1" }), [])
    assert.deepEqual(await ids({ state: 'created' }), [yours.id])
    assert.deepEqual(await ids({ contentType: 'a/b' }), [mine.id])
    assert.deepEqual(await ids({ createdAfter: mine.createdAt - 1, createdBefore: mine.createdAt + 1, owner: 'me' }), [
      mine.id,
    ])
    assert.deepEqual(await ids({ createdAfter: mine.createdAt, owner: 'me' }), [])
    assert.deepEqual(await ids({ createdBefore: mine.createdAt, owner: 'me' }), [])
  })

  const notCursors = [
    '',
    'x',
    'null',
    '!!!!',
    'A'.repeat(22),
    Buffer.alloc(16).toString('base64url'),
    'a'.repeat(5_000),
  ]
  test('list: a cursor that is none, or an impossible limit, is refused as such', async () => {
    const { records } = subject().database
    const tenant = newTenant()
    for (let n = 0; n < 3; n += 1) await records.insert(newUpload({ tenant }), ['created'])
    const { nextCursor } = await records.list({ tenant, limit: 1 })
    assert.ok(nextCursor)
    assert.match(nextCursor, /^[\w-]{22}$/)
    for (const cursor of [...notCursors, `${nextCursor}=`, `${nextCursor}A`, nextCursor.slice(1)]) {
      await assert.rejects(records.list({ tenant, limit: 1, cursor }), { code: 'query_invalid' }, cursor)
    }
    for (const limit of [0, -1, 101, 1.5, Number.NaN]) {
      await assert.rejects(records.list({ tenant, limit }), { code: 'query_invalid' })
    }
    await assert.rejects(records.list({ tenant, limit: 1, createdAfter: 1e300 }), { code: 'query_invalid' })
  })
}
