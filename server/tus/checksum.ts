import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { crc32 } from 'node:zlib'
import type { Verification } from '../uploads/api.ts'
import { UploadError } from '../uploads/errors.ts'
import { crc32c } from './crc32c.ts'
import { quoted } from './gate.ts'

interface Running {
  update(chunk: Buffer): void
  digest(): Buffer
}

function hash(name: string): () => Running {
  return () => {
    const running = createHash(name)
    return { update: (chunk) => void running.update(chunk), digest: () => running.digest() }
  }
}

/** A CRC's four bytes, big-endian. */
function crc(of: (chunk: Buffer, before: number) => number): () => Running {
  return () => {
    let value = 0
    const update = (chunk: Buffer): void => {
      value = of(chunk, value)
    }
    const digest = (): Buffer => {
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32BE(value >>> 0)
      return bytes
    }
    return { update, digest }
  }
}

/** Name to how it is worked out and how many bytes it has. */
const ALGORITHMS: ReadonlyMap<string, { readonly begin: () => Running; readonly bytes: number }> = new Map([
  ['sha1', { begin: hash('sha1'), bytes: 20 }],
  ['sha256', { begin: hash('sha256'), bytes: 32 }],
  ['md5', { begin: hash('md5'), bytes: 16 }],
  ['crc32', { begin: crc(crc32), bytes: 4 }],
  ['crc32c', { begin: crc(crc32c), bytes: 4 }],
])

/** `Tus-Checksum-Algorithm`. */
export const CHECKSUM_ALGORITHMS: readonly string[] = [...ALGORITHMS.keys()]

interface Said {
  readonly algorithm: string
  readonly digest: Buffer
}

/** `algorithm base64` (tus 1.0, Upload-Checksum). Throws checksum_invalid. */
function parse(text: string): Said {
  const [algorithm = '', value = '', ...more] = text.split(' ')
  const known = ALGORITHMS.get(algorithm)
  if (!known) {
    throw new UploadError(
      'checksum_invalid',
      `Upload-Checksum is ${quoted(text)}; its algorithms are ${CHECKSUM_ALGORITHMS.join(', ')}.`,
    )
  }
  const digest = Buffer.from(value, 'base64')
  if (more.length === 0 && digest.length === known.bytes && digest.toString('base64') === value) {
    return { algorithm, digest }
  }
  throw new UploadError(
    'checksum_invalid',
    `Upload-Checksum is ${quoted(text)}; send one space and the base64 of the ${known.bytes} bytes of ${algorithm}.`,
  )
}

/**
 * What the body of a request is checked against: `Upload-Checksum` before it, in a trailer that `Trailer` announces, or
 * both, which then say the same. null: nothing was said. Throws checksum_invalid.
 */
export function verificationOf(req: IncomingMessage, header: string | undefined): Verification | null {
  const said = header === undefined ? null : parse(header)
  const trailed = String(req.headers.trailer ?? '')
    .split(',')
    .some((name) => name.trim().toLowerCase() === 'upload-checksum')
  if (!said && !trailed) return null
  // The trailer names its algorithm when the bytes are gone by: all are worked out meanwhile.
  const names = said ? [said.algorithm] : CHECKSUM_ALGORITHMS
  const running = new Map(names.map((name) => [name, ALGORITHMS.get(name)?.begin()]))
  return {
    update: (chunk) => {
      for (const one of running.values()) one?.update(chunk)
    },
    verify: () => {
      const { algorithm, digest } = agreed(said, trailed ? trailerOf(req) : null)
      if (running.get(algorithm)?.digest().equals(digest)) return
      throw new UploadError('checksum_mismatch', `The body does not have the ${algorithm} that Upload-Checksum says.`)
    },
  }
}

function trailerOf(req: IncomingMessage): Said {
  const value = req.trailers['upload-checksum']
  if (value !== undefined) return parse(value)
  throw new UploadError('checksum_invalid', 'Trailer announced an Upload-Checksum, and none came.')
}

function agreed(header: Said | null, trailer: Said | null): Said {
  const said = header ?? trailer
  if (!said) throw new Error('a verification without a checksum')
  if (!header || !trailer) return said
  if (header.algorithm === trailer.algorithm && header.digest.equals(trailer.digest)) return said
  throw new UploadError('checksum_invalid', 'Upload-Checksum says one thing before the body and another behind it.')
}
