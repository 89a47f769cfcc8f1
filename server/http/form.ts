import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { Busboy, type BusboyInstance } from '@fastify/busboy'
import { UploadError } from '../uploads/errors.ts'

/** One part of a form, in the order of the body. A file has to be read to its end before the next part comes. */
export type FormPart =
  | { readonly kind: 'field'; readonly name: string; readonly value: string }
  | {
      readonly kind: 'file'
      readonly name: string
      readonly body: Readable
      /** undefined: the part has no `filename`. */
      readonly filename: string | undefined
      readonly contentType: string
    }

export interface FormLimits {
  readonly files: number
  /** One field that is no file, bytes. */
  readonly fieldBytes: number
  readonly fields: number
  /** Between parts; a file's own stream is watched by whoever reads it. */
  readonly idleMs: number
}

export interface Form {
  /** The next part; null after the last. Throws body_invalid, body_cut, body_stalled. */
  next(): Promise<FormPart | null>
  /** What is wrong with the form itself, as far as it was read: a file's reader only sees that its stream broke. */
  fault(): UploadError | null
  /** Stops reading the request and breaks what is being read. */
  close(): void
}

/** Reads multipart/form-data (RFC 7578) as it comes: nothing of a file is gathered here. Throws body_invalid. */
export function openForm(req: IncomingMessage, limits: FormLimits): Form {
  const parser = parserOf(req, limits)
  const parts: FormPart[] = []
  const files = new Set<Readable>()
  let failure: UploadError | null = null
  let ended = false
  let wake: (() => void) | null = null
  const poke = (): void => {
    wake?.()
    wake = null
  }
  const fail = (error: UploadError): void => {
    failure ??= error
    for (const file of files) file.destroy()
    poke()
  }
  const add = (part: FormPart): void => {
    parts.push(part)
    poke()
  }
  const onClose = (): void => {
    if (!req.complete) fail(new UploadError('body_cut', 'The connection broke in the middle of the form.'))
  }
  parser.on('file', (name, body, filename: string | undefined, _encoding, contentType) => {
    files.add(body)
    // The parser tells the stream of a form that breaks; who reads it listens for himself.
    body.on('error', () => {})
    body.once('close', () => files.delete(body))
    if (failure) body.destroy()
    add({ kind: 'file', name, body, filename, contentType })
  })
  parser.on('field', (name, value, _nameCut, valueCut) => {
    if (valueCut) fail(invalid(`The field "${printable(name)}" has more than ${limits.fieldBytes} bytes.`))
    else add({ kind: 'field', name, value })
  })
  parser.on('filesLimit', () => fail(invalid(`The form has more than ${limits.files} files.`)))
  parser.on('fieldsLimit', () => fail(invalid(`The form has more than ${limits.fields} fields.`)))
  parser.on('partsLimit', () => fail(invalid('The form has too many parts.')))
  parser.on('error', (error: unknown) => fail(invalid('The form is not multipart/form-data.', error)))
  parser.on('finish', () => {
    ended = true
    poke()
  })
  req.once('close', onClose)
  req.pipe(parser)

  return {
    async next() {
      for (;;) {
        if (failure) throw failure
        const part = parts.shift()
        if (part) return part
        if (ended) return null
        await within(
          limits.idleMs,
          new Promise<void>((resolve) => {
            wake = resolve
          }),
        )
      }
    },
    fault: () => failure,
    close() {
      req.off('close', onClose)
      req.unpipe(parser)
      req.pause()
      for (const file of files) file.destroy()
      parser.destroy()
    },
  }
}

function parserOf(req: IncomingMessage, { files, fields, fieldBytes }: FormLimits): BusboyInstance {
  const { 'content-type': type = '' } = req.headers
  try {
    return new Busboy({
      headers: { ...req.headers, 'content-type': type },
      limits: { files, fields, fieldSize: fieldBytes, parts: files + fields, headerPairs: 20, headerSize: 8192 },
    })
  } catch (error) {
    throw invalid('Content-Type names no boundary.', error)
  }
}

async function within(ms: number, event: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new UploadError('body_stalled', 'The form stood still for longer than the idle timeout.'))
    }, ms)
  })
  try {
    await Promise.race([event, late])
  } finally {
    clearTimeout(timer)
  }
}

function invalid(message: string, cause?: unknown): UploadError {
  return new UploadError('body_invalid', message, cause === undefined ? {} : { cause })
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 60)
}
