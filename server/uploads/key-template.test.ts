import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseUploadId } from './id.ts'
import { DEFAULT_TEMPLATE, fillTemplate, keyShape } from './key-template.ts'

const id = parseUploadId('01890a5d-ac96-774b-bcce-b302099a80ff')
assert.ok(id)
const PARTS = { prefix: 'up', id, tenant: 'acme-1', generation: 3, token: '0123456789abcdef0123456789abcdef' }

const TEMPLATES = [
  DEFAULT_TEMPLATE,
  '{prefix}/{id}/{token}',
  '{prefix}/{tenant}/{shard}/{id}/{generation}-{token}',
  '{prefix}/v2/{shard}/{tenant}_{id}-{generation}.{token}',
  '{prefix}/{token}_{id}',
]

test('the default is what keys always were', () => {
  assert.equal(fillTemplate(DEFAULT_TEMPLATE, PARTS), `up/ff/${id}/3-${PARTS.token}`)
})

test('every key is known again by the template that made it, and listed by one of its roots', () => {
  for (const template of TEMPLATES) {
    const key = fillTemplate(template, PARTS)
    const shape = keyShape(template, PARTS.prefix)
    assert.equal(shape.idOf(key), id, template)
    assert.equal(shape.roots.filter((root) => key.startsWith(root)).length, 1, template)
    for (const other of TEMPLATES) if (other !== template) assert.equal(keyShape(other, 'up').idOf(key), null, other)
    for (const foreign of [
      `x${key}`,
      `${key}x/`,
      `${key}/more`,
      key.replace(id, 'notes'),
      key.replace('up/', 'upp/'),
    ]) {
      assert.equal(shape.idOf(foreign), null, foreign)
    }
  }
})

test("a shard that is not the id's is nobody's", () => {
  assert.equal(keyShape(DEFAULT_TEMPLATE, 'up').idOf(`up/fe/${id}/3-${PARTS.token}`), null)
})

test('listings go by shard where it comes first, and from an id on where that comes next', () => {
  const listed = TEMPLATES.map((template) => {
    const { roots, byId } = keyShape(template, 'up')
    return [roots.length, roots.at(-1), byId]
  })
  assert.deepEqual(listed, [
    [256, 'up/ff/', true],
    [1, 'up/', true],
    [1, 'up/', false],
    [256, 'up/v2/ff/', false],
    [1, 'up/', false],
  ])
})
