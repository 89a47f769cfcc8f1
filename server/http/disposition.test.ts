import assert from 'node:assert/strict'
import { validateHeaderValue } from 'node:http'
import { test } from 'node:test'
import { contentDisposition, safeContentType } from './disposition.ts'

test('only what a browser shows without running it is inline', () => {
  for (const type of ['image/png', 'video/mp4', 'audio/mpeg', 'application/pdf', 'text/plain; charset=utf-8']) {
    assert.match(contentDisposition(type, null), /^inline$/, type)
  }
  for (const type of ['text/html', 'image/svg+xml', 'application/xhtml+xml', 'text/xml', 'application/octet-stream']) {
    assert.match(contentDisposition(type, null), /^attachment$/, type)
  }
})

test('a file name is data: no quote, line break or folder gets out', () => {
  const cases: [name: string, value: string][] = [
    ['plain.txt', 'attachment; filename="plain.txt"'],
    ['é.txt', `attachment; filename="_.txt"; filename*=UTF-8''%C3%A9.txt`],
    ['a"b\\c', 'attachment; filename="c"'],
    ['a"b', `attachment; filename="a_b"; filename*=UTF-8''a%22b`],
    ['../../etc/passwd', 'attachment; filename="passwd"'],
    ['x\r\nX: y', 'attachment; filename="x__X: y"'],
    ["it's (1)*.txt", `attachment; filename="it's (1)*.txt"`],
    ["é'()*", `attachment; filename="_'()*"; filename*=UTF-8''%C3%A9%27%28%29%2A`],
    ['', 'attachment'],
    ['a/', 'attachment'],
    ['\ud800x', `attachment; filename="_x"; filename*=UTF-8''%EF%BF%BDx`],
  ]
  for (const [name, value] of cases) {
    assert.equal(contentDisposition('text/html', name), value, JSON.stringify(name))
    validateHeaderValue('Content-Disposition', value)
  }
})

test('a media type that is none becomes bytes', () => {
  assert.equal(safeContentType('text/html; charset=utf-8'), 'text/html; charset=utf-8')
  for (const type of [null, '', 'text', 'text/html\r\nX: y', 'text/html; a', 'é/x']) {
    assert.equal(safeContentType(type), 'application/octet-stream', String(type))
  }
})
