import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { rememberedFor, rememberedUploads } from './remembered.js'

const ENDPOINT = 'http://host/api/v1/uploads'

/** localStorage as browsers have it, as far as the page uses it. */
class MemoryStorage implements Storage {
  readonly #entries = new Map<string, string>();
  [name: string]: unknown
  get length(): number {
    return this.#entries.size
  }
  key(index: number): string | null {
    return [...this.#entries.keys()][index] ?? null
  }
  getItem(key: string): string | null {
    return this.#entries.get(key) ?? null
  }
  setItem(key: string, value: string): void {
    this.#entries.set(key, value)
  }
  removeItem(key: string): void {
    this.#entries.delete(key)
  }
  clear(): void {
    this.#entries.clear()
  }
}

let storage: Storage
beforeEach(() => {
  storage = new MemoryStorage()
})

function remember(fileId: string, name: string, creationTime: string, endpoint = ENDPOINT): void {
  const entry = { size: 10, metadata: { filename: name }, creationTime, uploadUrl: `${ENDPOINT}/${name}` }
  storage.setItem(`tus::tus-${fileId}-${endpoint}::123`, JSON.stringify(entry))
}

test('the latest come first, those of other services and foreign keys are left out', () => {
  remember('uppy-a/txt-1', 'a.txt', 'Tue Nov 24 2026 10:00:00 GMT+0000')
  remember('uppy-b/txt-1', 'b.txt', 'Tue Nov 24 2026 11:00:00 GMT+0000')
  remember('uppy-c/txt-1', 'c.txt', 'Tue Nov 24 2026 12:00:00 GMT+0000', 'http://other/files')
  storage.setItem('theme', 'dark')
  assert.deepEqual(
    rememberedUploads(storage, ENDPOINT).map(({ name, url, size }) => [name, url, size]),
    [
      ['b.txt', `${ENDPOINT}/b.txt`, 10],
      ['a.txt', `${ENDPOINT}/a.txt`, 10],
    ],
  )
})

test('a chosen file finds its own upload and no other', () => {
  remember('uppy-a/txt-1', 'a.txt', 'Tue Nov 24 2026 10:00:00 GMT+0000')
  assert.equal(rememberedFor(storage, ENDPOINT, 'uppy-a/txt-1')?.name, 'a.txt')
  assert.equal(rememberedFor(storage, ENDPOINT, 'uppy-a/txt'), null)
  assert.equal(rememberedFor(storage, 'http://host/api', 'uppy-a/txt-1'), null)
})

test('what cannot be read is passed over', () => {
  storage.setItem(`tus::tus-x-${ENDPOINT}::1`, 'no json')
  storage.setItem(`tus::tus-y-${ENDPOINT}::1`, JSON.stringify({ size: 1, metadata: null }))
  storage.setItem(`tus::tus-z-${ENDPOINT}::1`, JSON.stringify({ size: 1, metadata: null, uploadUrl: '/z' }))
  assert.deepEqual(rememberedUploads(storage, ENDPOINT), [
    { key: `tus::tus-z-${ENDPOINT}::1`, url: '/z', name: 'unnamed', size: 1 },
  ])
})
