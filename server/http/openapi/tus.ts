import { BYTE_COUNT, failures, guarded, header, json, open, ref, requestHeader, UPLOAD_ID } from './build.ts'
import type { Answer, MediaType, Operation } from './types.ts'
import { FORM } from './uploads.ts'

const TUS_RESUMABLE = requestHeader('Tus-Resumable', 'The version of the protocol.', { const: '1.0.0' }, true)
const BYTES: Readonly<Record<string, MediaType>> = {
  'application/offset+octet-stream': { schema: { type: 'string', format: 'binary' } },
}
const CHECKSUM = requestHeader(
  'Upload-Checksum',
  'What the body is checked against, here or in a trailer: an algorithm of `Tus-Checksum-Algorithm`, a space, base64.',
  { type: 'string' },
)
const EXPIRES = header('When the unfinished upload is removed unless bytes come (RFC 9110 date).')

const BODY_FAILURES = [
  'checksum_invalid',
  'checksum_mismatch',
  'body_cut',
  'upload_too_large',
  'body_exceeds_length',
  'body_stalled',
  'shutting_down',
  'store_unavailable',
  'coordination_unavailable',
  'records_unavailable',
  'internal',
] as const

export const create: Operation = guarded(['create'], {
  operationId: 'createUpload',
  summary: 'Create an upload (tus), or upload small files as a form',
  description:
    'With `Tus-Resumable`: a creation of tus 1.0, with the first bytes if they come along. Without, as multipart/form-data: each field `file` is one whole file; one file answers its record, several all of theirs. A form counts as a whole: when something of it fails, nothing of it stays.',
  tags: ['tus', 'Uploads'],
  parameters: [
    requestHeader('Tus-Resumable', 'The version of the protocol; not with a form.', { const: '1.0.0' }),
    requestHeader('Upload-Length', 'Length of the file, bytes.', BYTE_COUNT),
    requestHeader('Upload-Defer-Length', 'Instead, when the length is not known yet.', { const: '1' }),
    requestHeader('Upload-Metadata', 'Pairs of key and base64 value: `filename dC50eHQ=,filetype dGV4dC9wbGFpbg==`.', {
      type: 'string',
    }),
    requestHeader(
      'Upload-Concat',
      '`partial`: one piece of a file. `final;` and the addresses of finished partial uploads, separated by spaces: the file of these, in this order; then without a length and without bytes.',
      { type: 'string' },
    ),
    CHECKSUM,
  ],
  requestBody: {
    required: false,
    description: 'The first bytes, or a form.',
    content: { ...BYTES, 'multipart/form-data': FORM },
  },
  responses: {
    201: {
      description: 'It was created. The body is that of a form’s answer; tus has none.',
      headers: {
        Location: header('The upload; of a form, its first file’s.'),
        'Upload-Offset': header('Bytes that were stored with the creation.', BYTE_COUNT),
        'Upload-Expires': EXPIRES,
      },
      content: json({
        oneOf: [
          ref('CreatedUpload'),
          {
            type: 'object',
            required: ['items'],
            properties: { items: { type: 'array', items: ref('CreatedUpload') } },
          },
        ],
      }),
    },
    ...failures(
      'both',
      'length_missing',
      'length_invalid',
      'length_conflict',
      'defer_length_invalid',
      'metadata_invalid',
      'body_invalid',
      'concat_invalid',
      'concat_final',
      'not_found',
      'upload_gone',
      'forbidden',
      'refused_by_hook',
      'version_unsupported',
      'content_type_unsupported',
      'metadata_too_large',
      'finish_pending',
      ...BODY_FAILURES,
    ),
  },
})

export const append: Operation = guarded(['append'], {
  operationId: 'appendToUpload',
  summary: 'Bytes at the end of an upload',
  description: 'Finishes the upload when they complete it.',
  tags: ['tus'],
  parameters: [
    UPLOAD_ID,
    TUS_RESUMABLE,
    requestHeader('Upload-Offset', 'Where the upload ends, as HEAD told.', BYTE_COUNT, true),
    requestHeader('Upload-Length', 'The deferred length, once it is known.', BYTE_COUNT),
    CHECKSUM,
  ],
  requestBody: { required: false, content: BYTES },
  responses: {
    204: {
      description: 'They are stored.',
      headers: { 'Upload-Offset': header('Where the upload ends now.', BYTE_COUNT), 'Upload-Expires': EXPIRES },
    },
    ...failures(
      'tus',
      'offset_missing',
      'offset_invalid',
      'length_already_known',
      'concat_final',
      'not_found',
      'offset_mismatch',
      'upload_finished',
      'upload_gone',
      'version_unsupported',
      'content_type_unsupported',
      'upload_busy',
      'hold_lost',
      'finish_pending',
      ...BODY_FAILURES,
    ),
  },
})

export const terminate: Operation = guarded(['terminate'], {
  operationId: 'terminateUpload',
  summary: 'End an upload and remove its bytes',
  description: 'In any state, finished ones too.',
  tags: ['tus'],
  parameters: [UPLOAD_ID, TUS_RESUMABLE],
  responses: {
    204: { description: 'It is gone.' },
    ...failures(
      'tus',
      'forbidden',
      'refused_by_hook',
      'not_found',
      'upload_gone',
      'version_unsupported',
      'upload_busy',
      'shutting_down',
      'coordination_unavailable',
      'records_unavailable',
      'internal',
    ),
  },
})

const ABILITIES: Answer = {
  description: 'What the service can do, and the headers of CORS for a browser that asks before a request.',
  headers: {
    'Tus-Version': header('`1.0.0`.'),
    'Tus-Extension': header('The extensions, separated by commas.'),
    'Tus-Max-Size': header('Longest upload, bytes.', BYTE_COUNT),
    'Tus-Checksum-Algorithm': header('The algorithms of `Upload-Checksum`, separated by commas.'),
  },
}

export const describe: Operation = open({
  operationId: 'describeService',
  summary: 'Versions, extensions and the longest upload',
  tags: ['tus'],
  responses: { 204: ABILITIES },
})

export const describeAtUpload: Operation = open({
  operationId: 'describeServiceAtUpload',
  summary: 'The same at an upload, mostly for CORS',
  tags: ['tus'],
  parameters: [UPLOAD_ID],
  responses: { 204: ABILITIES, ...failures('tus', 'not_found') },
})
