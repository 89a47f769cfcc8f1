import type { NewSecrets, StoreChoice } from '../../uploads/ports/byte-store.ts'
import type { Layout, SealedRun, Upload, UploadId } from '../../uploads/words.ts'
import { type Keyring, newDataKey } from './keyring.ts'
import { joinLayouts } from './layout.ts'

/** `encoding` of a row whose bytes this room encrypted. */
export const ENCODING = 'aes-256-gcm'

/**
 * What the row of a new upload keeps: a data key of its own, wrapped. A final upload also gets those of its partial ones,
 * wrapped with the current key, and how their objects are encrypted: the store moves their bytes as they are.
 */
export function newSecrets(keyring: Keyring, id: UploadId, partials: readonly Upload[]): NewSecrets {
  const dataKeys: Record<string, string> = { [id]: keyring.wrap(id, newDataKey()) }
  for (const partial of partials) {
    for (const [owner, wrapped] of Object.entries(partial.dataKeys)) {
      const same = partial.keyId === keyring.currentId
      dataKeys[owner] = same ? wrapped : keyring.rewrap(partial.keyId ?? '', owner, wrapped)
    }
  }
  return {
    encoding: ENCODING,
    keyId: keyring.currentId,
    dataKeys,
    layout: partials.length > 0 ? joinLayouts(partials.map(finishedLayout)) : null,
  }
}

/** How the object of a finished upload is encrypted. */
export function finishedLayout({ id, objectKey, length, partBytes, encoding, layout }: Upload): Layout {
  if (layout) return layout
  if (objectKey === null) return []
  const upload = encoding === null ? null : id
  return [{ key: objectKey, at: 0, bytes: length ?? 0, piece: partBytes, upload }]
}

/** An object that one upload wrote by itself, whole or as parts. */
export function ownRun(row: StoreChoice, key: string, bytes: number): SealedRun {
  return { key, at: 0, bytes, piece: pieceOf(row), upload: row.id }
}

/** Bytes of a full piece: a part, so that every part is a number of pieces. */
export function pieceOf({ id, partBytes }: StoreChoice): number {
  if (partBytes === undefined) throw new Error(`upload ${id} has no part size`)
  return partBytes
}
