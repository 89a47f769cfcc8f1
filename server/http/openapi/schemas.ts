import { ERROR_CODES } from '../../uploads/errors.ts'
import { UPLOAD_STATES } from '../../uploads/states.ts'
import { MOST_UPLOADS } from '../routes/create-many.ts'
import { BYTE_COUNT, ref } from './build.ts'
import type { Schema } from './types.ts'

const time = (description: string): Schema => ({ type: 'string', format: 'date-time', description })
const timeOrNone = (description: string): Schema => ({ type: ['string', 'null'], format: 'date-time', description })
const textOrNone = (description: string): Schema => ({ type: ['string', 'null'], description })

const RECORD = {
  id: { type: 'string', format: 'uuid', description: 'UUIDv7: newer ids sort behind older ones.' },
  tenant: { type: 'string' },
  owner: { type: 'string', description: 'The `sub` of who created it.' },
  state: { type: 'string', enum: UPLOAD_STATES },
  length: { type: ['integer', 'null'], minimum: 0, description: 'Bytes; null while it is not known.' },
  lengthDeferred: { type: 'boolean', description: 'It was created with `Upload-Defer-Length`.' },
  metadata: {
    type: 'object',
    additionalProperties: { type: 'string' },
    description: 'Text where the bytes are UTF-8, else `base64:` and the base64 of the bytes.',
  },
  contentType: textOrNone('As the client said; nothing checks it.'),
  filename: textOrNone('As the client said.'),
  crc32: textOrNone('CRC-32 of the file, eight hexadecimal digits.'),
  sha256: textOrNone('SHA-256 of the file in hexadecimal; known once it was processed.'),
  legalHold: { type: 'boolean' },
  createdAt: time('When it was created.'),
  updatedAt: time('When its record last changed.'),
  expiresAt: timeOrNone('When it is removed unless bytes come; null for a finished one.'),
  enteredAt: {
    type: 'object',
    additionalProperties: { type: 'string', format: 'date-time' },
    description: 'When it entered each of its states.',
  },
} as const satisfies Readonly<Record<string, Schema>>

const memory: Schema = {
  type: 'object',
  required: ['rssBytes', 'heapUsedBytes', 'heapTotalBytes', 'externalBytes', 'arrayBuffersBytes'],
  properties: {
    rssBytes: BYTE_COUNT,
    heapUsedBytes: BYTE_COUNT,
    heapTotalBytes: BYTE_COUNT,
    externalBytes: BYTE_COUNT,
    arrayBuffersBytes: BYTE_COUNT,
  },
}

const pool: Schema = {
  type: 'object',
  required: ['total', 'idle', 'waiting'],
  properties: {
    total: { type: 'integer', description: 'Open connections.' },
    idle: { type: 'integer' },
    waiting: { type: 'integer', description: 'Calls that wait for one.' },
  },
}

export const SCHEMAS: Readonly<Record<string, Schema>> = {
  Upload: { type: 'object', required: Object.keys(RECORD), properties: RECORD },
  CreatedUpload: {
    type: 'object',
    required: ['location', ...Object.keys(RECORD)],
    properties: { location: { type: 'string', format: 'uri-reference' }, ...RECORD },
  },
  UploadPage: {
    type: 'object',
    required: ['items', 'nextCursor'],
    properties: {
      items: { type: 'array', items: ref('Upload') },
      nextCursor: textOrNone('For `cursor` of the next page; null on the last one.'),
    },
  },
  UploadRequest: {
    type: 'object',
    required: ['length'],
    properties: {
      length: {
        type: ['integer', 'null'],
        minimum: 0,
        description: 'Bytes; null when it is not known yet (it is then said with a later PATCH).',
      },
      metadata: { type: 'object', additionalProperties: { type: 'string' } },
      filename: { type: 'string', description: 'Short for `metadata.filename`.' },
      contentType: { type: 'string', description: 'Short for `metadata.filetype`.' },
    },
  },
  UploadRequests: {
    type: 'object',
    required: ['uploads'],
    properties: {
      uploads: { type: 'array', minItems: 1, maxItems: MOST_UPLOADS, items: ref('UploadRequest') },
    },
  },
  UploadOutcome: {
    oneOf: [
      {
        type: 'object',
        required: ['status', 'location', 'id'],
        properties: {
          status: { const: 201 },
          location: { type: 'string', format: 'uri-reference', description: 'Where its bytes go.' },
          id: { type: 'string', format: 'uuid' },
        },
      },
      {
        type: 'object',
        required: ['status', 'problem'],
        properties: { status: { type: 'integer', minimum: 400, maximum: 599 }, problem: ref('Problem') },
      },
    ],
  },
  Problem: {
    type: 'object',
    description: 'RFC 9457.',
    required: ['type', 'title', 'status', 'detail', 'code', 'retryable'],
    properties: {
      type: { type: 'string', format: 'uri' },
      title: { type: 'string' },
      status: { type: 'integer' },
      detail: { type: 'string' },
      code: { type: 'string', enum: ERROR_CODES },
      retryable: { type: 'boolean', description: 'The same request may succeed later.' },
      requestId: { type: 'string', description: 'The log knows it by this.' },
    },
  },
  Health: {
    type: 'object',
    required: ['status'],
    properties: {
      status: { type: 'string', enum: ['ok', 'degraded', 'starting', 'draining'] },
      checks: { type: 'object', additionalProperties: { type: 'object' } },
    },
  },
  Phase: {
    type: 'object',
    required: ['status'],
    properties: { status: { type: 'string', enum: ['ok', 'starting', 'draining'] } },
  },
  GarbageCollection: {
    type: 'object',
    required: ['before', 'after', 'freed', 'durationMs'],
    properties: {
      before: memory,
      after: memory,
      freed: {
        type: 'object',
        required: ['rssBytes', 'heapUsedBytes'],
        properties: { rssBytes: { type: 'integer' }, heapUsedBytes: { type: 'integer' } },
        description: 'Bytes; below zero when other requests took more meanwhile.',
      },
      durationMs: { type: 'number' },
    },
  },
  DatabaseStatus: {
    type: 'object',
    required: ['driver', 'latencyMs', 'missingMigrations', 'pool'],
    properties: {
      driver: { type: 'string', enum: ['postgres', 'pglite'] },
      latencyMs: { type: 'number', description: 'Time of a query.' },
      missingMigrations: { type: 'array', items: { type: 'string' } },
      pool,
    },
  },
  PoolRestart: {
    type: 'object',
    required: ['driver', 'restarted', 'before', 'after', 'durationMs'],
    properties: {
      driver: { type: 'string', enum: ['postgres', 'pglite'] },
      restarted: { type: 'boolean', description: 'False with `pglite`, which has no connections.' },
      before: pool,
      after: pool,
      durationMs: { type: 'number' },
    },
  },
}
