import type { Request, RequestHandler, Response } from 'express'
import type { Engine } from '../../uploads/api.ts'
import { hasCode, UploadError } from '../../uploads/errors.ts'
import { parseUploadId } from '../../uploads/id.ts'
import { formatMetadata } from '../../uploads/metadata.ts'
import { requireRole } from '../../uploads/policy.ts'
import type { Principal, Upload } from '../../uploads/words.ts'
import { wantBody } from '../body.ts'
import { principalOf } from '../context.ts'
import { type Form, type FormPart, openForm } from '../form.ts'
import { readMetadata } from '../metadata-json.ts'
import type { Locate } from '../ports.ts'
import { uploadJson } from '../upload-json.ts'

/** Files of one form. */
export const MOST_FILES = 100
const MOST_FIELDS = 100
const FIELD_BYTES = 64 * 1024

export interface CreateFromFormOptions {
  readonly engine: Engine
  readonly locate: Locate
  readonly idleTimeoutMs: number
}

type FilePart = Extract<FormPart, { kind: 'file' }>

/**
 * `POST /api/v1/uploads` as multipart/form-data: each field `file` becomes a finished upload, streamed through the same
 * call as a creation with its bytes. A field `metadata` (JSON) before them is theirs. The form counts as a whole: when
 * something of it fails, nothing of it stays.
 */
export function createFromForm({ engine, locate, idleTimeoutMs }: CreateFromFormOptions): RequestHandler {
  return async (req, res) => {
    const principal = principalOf(req)
    requireRole(principal, 'create')
    const limits = { files: MOST_FILES, fields: MOST_FIELDS, fieldBytes: FIELD_BYTES, idleMs: idleTimeoutMs }
    const form = openForm(req, limits)
    wantBody(req, res)
    const created: Upload[] = []
    try {
      await takeForm(engine, principal, form, created)
    } catch (error) {
      form.close()
      await removeAll(engine, principal, created)
      // Its finish outlasts this request: the client may ask for it there.
      const standing = error instanceof UploadError ? parseUploadId(String(error.facts.location_id ?? '')) : null
      if (standing !== null) res.setHeader('Location', locate(req, standing))
      throw (hasCode(error, 'body_cut') ? form.fault() : null) ?? error
    }
    sendCreated(req, res, created, locate)
  }
}

async function takeForm(engine: Engine, principal: Principal, form: Form, created: Upload[]): Promise<void> {
  let metadata: Readonly<Record<string, string>> = {}
  for (let part = await form.next(); part !== null; part = await form.next()) {
    if (part.kind === 'field') {
      if (part.name !== 'metadata') continue
      if (created.length > 0) throw invalid('The field "metadata" has to come before the files that it is for.')
      metadata = parseMetadataField(part.value)
    } else {
      if (part.name !== 'file') throw invalid('A file is in another field than "file"; "file" may come several times.')
      // What a browser sends for a field in which nobody chose a file.
      if (part.filename === '') throw invalid('No file was chosen.')
      created.push(await createOne(engine, principal, part, metadata))
    }
  }
  if (created.length === 0) throw invalid('The form has no file: send one in the field "file".')
}

function parseMetadataField(text: string): Readonly<Record<string, string>> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new UploadError('metadata_invalid', 'The field "metadata" is not JSON.', { cause: error })
  }
  return readMetadata(value)
}

async function createOne(
  engine: Engine,
  principal: Principal,
  { body, filename, contentType }: FilePart,
  metadata: Readonly<Record<string, string>>,
): Promise<Upload> {
  const known = { ...(filename === undefined ? {} : { filename }), filetype: contentType, ...metadata }
  const { upload } = await engine.create(principal, {
    length: null,
    completesAtEnd: true,
    metadataRaw: formatMetadata(known),
    body,
    bodyLength: null,
  })
  return upload
}

/** A client that got no answer knows none of its addresses. What cannot be removed now is in the list of uploads. */
async function removeAll(engine: Engine, principal: Principal, created: readonly Upload[]): Promise<void> {
  await Promise.all(created.map(({ id }) => engine.terminate(principal, id).catch(() => {})))
}

/** One file: its record. Several: all of them, in order; `Location` is the first one's. */
function sendCreated(req: Request, res: Response, created: readonly Upload[], locate: Locate): void {
  const items = created.map((upload) => ({ location: locate(req, upload.id), ...uploadJson(upload) }))
  const [first] = items
  res.setHeader('Cache-Control', 'no-store')
  if (first !== undefined) res.setHeader('Location', first.location)
  res.status(201).json(items.length === 1 ? first : { items })
}

function invalid(message: string): UploadError {
  return new UploadError('body_invalid', message)
}
