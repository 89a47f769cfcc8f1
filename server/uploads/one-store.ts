import type { ByteStore, Stores } from './ports/byte-store.ts'

/** All uploads in one store. */
export function oneStore(store: ByteStore): Stores {
  return { of: () => store }
}
