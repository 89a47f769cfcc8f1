import type { Upload } from '../uploads/words.ts'

function iso(time: number | null): string | null {
  return time === null ? null : new Date(time).toISOString()
}

/** An upload's record as its owner may see it. Keys, tokens, parts and generations are nobody's business. */
export function uploadJson(upload: Upload): Record<string, unknown> {
  return {
    id: upload.id,
    tenant: upload.tenant,
    owner: upload.owner,
    state: upload.state,
    length: upload.length,
    lengthDeferred: upload.lengthDeferred,
    metadata: upload.metadata,
    contentType: upload.contentType,
    filename: upload.filename,
    crc32: upload.crc32 === null ? null : upload.crc32.toString(16).padStart(8, '0'),
    sha256: upload.sha256,
    legalHold: upload.legalHold,
    createdAt: iso(upload.createdAt),
    updatedAt: iso(upload.updatedAt),
    expiresAt: iso(upload.expiresAt),
    enteredAt: Object.fromEntries(Object.entries(upload.enteredAt).map(([state, time]) => [state, iso(time)])),
  }
}
