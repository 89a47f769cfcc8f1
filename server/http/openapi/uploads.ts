import { UPLOAD_STATES } from '../../uploads/states.ts'
import { MOST_FILES } from '../routes/create-from-form.ts'
import { MANY_BODY_BYTES, MOST_UPLOADS } from '../routes/create-many.ts'
import { BYTE_COUNT, bodiless, failures, guarded, header, json, query, ref, requestHeader, UPLOAD_ID } from './build.ts'
import type { Operation } from './types.ts'

const AWAY = ['records_unavailable', 'internal'] as const

export const listUploads: Operation = guarded(['list'], {
  operationId: 'listUploads',
  summary: 'A page of uploads, newest first',
  description: 'Of the caller; operators and admins see those of their tenant, and may ask for one `owner`.',
  tags: ['Uploads'],
  parameters: [
    query('limit', 'Records of a page.', { type: 'integer', minimum: 1, maximum: 100, default: 50 }),
    query('cursor', '`nextCursor` of the page before.', { type: 'string' }),
    query('state', 'Only in this state.', { type: 'string', enum: UPLOAD_STATES }),
    query('owner', 'Only of this owner; anybody else’s is for operators and admins.', { type: 'string' }),
    query('contentType', 'Only of exactly this media type.', { type: 'string' }),
    query('createdAfter', 'Only created after this time (ISO 8601, or milliseconds since 1970).', { type: 'string' }),
    query('createdBefore', 'Only created before this time.', { type: 'string' }),
  ],
  responses: {
    200: { description: 'The page.', content: json(ref('UploadPage')) },
    ...failures('problem', 'query_invalid', ...AWAY),
  },
})

export const createMany: Operation = guarded(['create'], {
  operationId: 'createUploads',
  summary: 'Create many uploads in one call',
  description: `Up to ${MOST_UPLOADS}, each on its own: an address or a problem for each, in order. Bytes are then sent to each address with PATCH (tus). A body has at most ${MANY_BODY_BYTES} bytes.`,
  tags: ['Uploads'],
  requestBody: {
    required: true,
    content: json(ref('UploadRequests'), {
      uploads: [
        { length: 1024, metadata: { filename: 'a.txt', filetype: 'text/plain' } },
        { length: null, filename: 'recording.webm', contentType: 'video/webm' },
      ],
    }),
  },
  responses: {
    200: { description: 'What became of each.', content: json({ type: 'array', items: ref('UploadOutcome') }) },
    ...failures('problem', 'body_invalid', 'body_cut', 'content_type_unsupported', 'body_too_large', 'body_stalled'),
  },
})

export const uploadInfo: Operation = guarded(['record'], {
  operationId: 'getUploadRecord',
  summary: 'The record of an upload',
  description: 'Disturbs no running upload. It does not tell the offset of an unfinished one: HEAD (tus) does.',
  tags: ['Uploads'],
  parameters: [UPLOAD_ID],
  responses: {
    200: { description: 'The record.', content: json(ref('Upload')) },
    ...failures('problem', 'not_found', ...AWAY),
  },
})

const FILE_HEADERS = {
  ETag: header('Strong; it changes with the bytes.'),
  'Accept-Ranges': header('`bytes`.'),
  'Content-Disposition': header('With the file name; `attachment` unless the type is safe to show.'),
}

const CONDITIONS = [
  requestHeader('If-None-Match', 'ETags that the client has.', { type: 'string' }),
  requestHeader('If-Match', 'ETags of which one must be the file’s.', { type: 'string' }),
]

const FILE = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } }

const DOWNLOAD_FAILURES = [
  'not_found',
  'upload_not_finished',
  'upload_finished',
  'upload_gone',
  'precondition_failed',
] as const

export const download: Operation = guarded(['download'], {
  operationId: 'downloadFile',
  summary: 'The file of a finished upload',
  tags: ['Uploads'],
  parameters: [
    UPLOAD_ID,
    requestHeader('Range', 'One range of bytes.', { type: 'string' }),
    requestHeader('If-Range', 'The ETag for which `Range` counts.', { type: 'string' }),
    ...CONDITIONS,
  ],
  responses: {
    200: { description: 'The file.', headers: FILE_HEADERS, content: FILE },
    206: {
      description: 'The range.',
      headers: { ...FILE_HEADERS, 'Content-Range': header('Which bytes of how many.') },
      content: FILE,
    },
    304: { description: 'The client has it.' },
    307: {
      description: 'With DOWNLOADS=redirect: where the store has it, for a while. Ask here again for another link.',
      headers: { Location: header('A URL of the store; whoever has it has the file.') },
    },
    ...failures('problem', ...DOWNLOAD_FAILURES, 'range_not_satisfiable', ...AWAY, 'store_unavailable'),
  },
})

/** Two operations under one verb, told apart by a header: OpenAPI has room for one. */
export const inspect: Operation = guarded(['inspect', 'download'], {
  operationId: 'inspectUpload',
  summary: 'How far an upload is (tus), or the headers of its file',
  description:
    'With `Tus-Resumable` (role uploader): the offset, and what was said at the creation; never 5xx: what would be is 423 with `Retry-After`. Without (role reader): what GET would say of a finished upload, and 412 for an unfinished one.',
  tags: ['tus'],
  parameters: [UPLOAD_ID, requestHeader('Tus-Resumable', 'Makes it a tus request.', { const: '1.0.0' }), ...CONDITIONS],
  responses: {
    200: {
      description: 'The headers.',
      headers: {
        'Upload-Offset': header('Stored bytes.', BYTE_COUNT),
        'Upload-Length': header('Length of the upload, where it is known.', BYTE_COUNT),
        'Upload-Defer-Length': header('`1` while the length is not known.', { const: '1' }),
        'Upload-Metadata': header('As it was sent.'),
        'Upload-Expires': header('When an unfinished upload is removed unless bytes come.'),
        ETag: header('Of the file.'),
      },
    },
    304: { description: 'The client has the file.' },
    ...bodiless(
      failures('problem', 'not_found', 'upload_gone', 'version_unsupported', 'upload_busy', 'finish_pending'),
    ),
  },
})

export const FORM = {
  schema: {
    type: 'object',
    required: ['file'],
    properties: {
      metadata: {
        type: 'object',
        additionalProperties: { type: 'string' },
        description: 'JSON, for all files that follow; it has to come before them.',
      },
      file: {
        type: 'array',
        minItems: 1,
        maxItems: MOST_FILES,
        items: { type: 'string', format: 'binary' },
        description: 'One field for each file.',
      },
    },
  },
  encoding: { metadata: { contentType: 'application/json' }, file: { contentType: '*/*' } },
}
