import type { ErrorCode } from '../uploads/errors.ts'

/** What one code means on the wire. */
export interface ErrorRule {
  readonly status: number
  readonly title: string
  /** May the same request succeed later, unchanged? */
  readonly retryable: boolean
  /** `Retry-After` of a retryable one. */
  readonly retryAfterSeconds?: number
  /** The connection ends with the answer: the rest of the body is not worth reading, or the process is stopping. */
  readonly closes?: boolean
  /** For docs/errors.md: when it happens and what to do. */
  readonly meaning: string
}

/**
 * The one place where a failure gets its status. Two facts of tus-js-client shape it: it starts again from 0 on any HEAD
 * other than 2xx and 423, and it gives up on any 4xx of a PATCH other than 409 and 423. So what may pass is 409, 423 or
 * 5xx, and {@link answerFor} turns what a HEAD must not say into 423.
 */
export const ERROR_TABLE = {
  version_unsupported: {
    status: 412,
    title: 'Protocol version not supported',
    retryable: false,
    meaning: '`Tus-Resumable` is missing or names another version. Send `Tus-Resumable: 1.0.0`.',
  },
  method_not_allowed: {
    status: 405,
    title: 'Method not allowed here',
    retryable: false,
    meaning: '`Allow` lists what this address takes. A creation goes to the collection, everything else to an upload.',
  },
  not_found: {
    status: 404,
    title: 'Not found',
    retryable: false,
    meaning: 'No such address, no such upload, or it is somebody else’s.',
  },
  upload_gone: {
    status: 410,
    title: 'The upload no longer exists',
    retryable: false,
    meaning: 'It was terminated, expired, erased or lost. Create a new one.',
  },
  length_missing: {
    status: 400,
    title: 'Length missing',
    retryable: false,
    meaning: 'A creation says `Upload-Length`, or `Upload-Defer-Length: 1`.',
  },
  length_invalid: {
    status: 400,
    title: 'Length not readable',
    retryable: false,
    meaning: 'A length is a decimal number of bytes without sign or leading zeros, at most 2^53 - 1.',
  },
  length_conflict: {
    status: 400,
    title: 'Lengths contradict each other',
    retryable: false,
    meaning: 'Both length headers were sent, or a late length is below what is already stored.',
  },
  length_already_known: {
    status: 400,
    title: 'Length already known',
    retryable: false,
    meaning: 'The length of an upload is said once.',
  },
  defer_length_invalid: {
    status: 400,
    title: 'Upload-Defer-Length not readable',
    retryable: false,
    meaning: 'The only value of `Upload-Defer-Length` is `1`.',
  },
  offset_missing: {
    status: 400,
    title: 'Offset missing',
    retryable: false,
    meaning: 'A PATCH says with `Upload-Offset` where its bytes belong.',
  },
  offset_invalid: {
    status: 400,
    title: 'Offset not readable',
    retryable: false,
    meaning: 'An offset is a decimal number of bytes without sign or leading zeros, at most 2^53 - 1.',
  },
  offset_mismatch: {
    status: 409,
    title: 'Offset is not where the upload ends',
    retryable: true,
    meaning: 'Ask with HEAD where the upload ends and go on from there.',
  },
  content_type_unsupported: {
    status: 415,
    title: 'Media type not supported',
    retryable: false,
    meaning:
      'Bytes of an upload are sent as `application/offset+octet-stream`, without a content coding; many creations in ' +
      'one call as `application/json`.',
  },
  metadata_invalid: {
    status: 400,
    title: 'Metadata not readable',
    retryable: false,
    meaning: '`Upload-Metadata` is a comma-separated list of `key base64`, each key once.',
  },
  metadata_too_large: {
    status: 431,
    title: 'Metadata too large',
    retryable: false,
    meaning: '`Upload-Metadata` is longer than this service takes.',
  },
  upload_too_large: {
    status: 413,
    title: 'Upload too large',
    retryable: false,
    meaning: 'The length, or a body of unknown length, is above `Tus-Max-Size`.',
  },
  body_exceeds_length: {
    status: 413,
    title: 'More bytes than the upload has room for',
    retryable: false,
    meaning: 'The body goes past the length of the upload.',
  },
  expectation_failed: {
    status: 417,
    title: 'Expectation cannot be met',
    retryable: false,
    meaning: 'The only expectation known is `100-continue`.',
  },
  headers_too_large: {
    status: 431,
    title: 'Request headers too large',
    retryable: false,
    closes: true,
    meaning: 'The headers together are too long or too many.',
  },
  request_malformed: {
    status: 400,
    title: 'Request not readable',
    retryable: false,
    meaning: 'The request breaks HTTP, or a header that may be sent once was sent twice.',
  },
  request_timeout: {
    status: 408,
    title: 'Request headers took too long',
    retryable: true,
    closes: true,
    meaning: 'The headers of a request did not arrive in time.',
  },
  query_invalid: {
    status: 400,
    title: 'Query not readable',
    retryable: false,
    meaning: 'A query parameter has a value that it cannot have.',
  },
  body_invalid: {
    status: 400,
    title: 'Body not readable',
    retryable: false,
    meaning:
      'The body is not what this address takes: JSON of the documented form, or a form with the field `metadata` ' +
      'before the fields `file`. Nothing of it was kept.',
  },
  body_too_large: {
    status: 413,
    title: 'Body too large',
    retryable: false,
    meaning: 'The JSON body is longer than this address takes. Send fewer uploads in one call.',
  },
  upload_finished: {
    status: 409,
    title: 'The upload is finished',
    retryable: true,
    meaning: 'A finished upload takes no more bytes. Ask with HEAD: it has them all.',
  },
  upload_not_finished: {
    status: 404,
    title: 'The upload is not finished',
    retryable: true,
    retryAfterSeconds: 5,
    meaning: 'There is nothing to download yet. 409 instead while a finished upload is still being processed.',
  },
  range_not_satisfiable: {
    status: 416,
    title: 'Range outside the file',
    retryable: false,
    meaning: '`Content-Range` says how long the file is.',
  },
  precondition_failed: {
    status: 412,
    title: 'Precondition failed',
    retryable: false,
    meaning: 'The file is not the one that `If-Match` names.',
  },
  checksum_invalid: {
    status: 400,
    title: 'Checksum not readable',
    retryable: false,
    meaning:
      '`Upload-Checksum` is one of the algorithms of `Tus-Checksum-Algorithm`, a space and base64; a trailer that was ' +
      'announced comes, and says what the header says. Nothing of the body was kept.',
  },
  checksum_mismatch: {
    status: 460,
    title: 'Checksum Mismatch',
    retryable: false,
    meaning: 'The body is not the one that `Upload-Checksum` was made of. Nothing of it was kept: send it again.',
  },
  concat_invalid: {
    status: 400,
    title: 'Concatenation not possible',
    retryable: false,
    meaning:
      '`Upload-Concat` is neither `partial` nor `final;` with the addresses of finished partial uploads, there are too ' +
      'many of them, or the creation of a final upload has a length.',
  },
  concat_final: {
    status: 403,
    title: 'A final upload takes no bytes',
    retryable: false,
    meaning: 'An upload that is made of partial uploads has all its bytes from them.',
  },
  unauthenticated: {
    status: 401,
    title: 'Not authenticated',
    retryable: false,
    meaning: 'Send a valid `Authorization: Bearer` token.',
  },
  forbidden: {
    status: 403,
    title: 'Not allowed',
    retryable: false,
    meaning: 'The caller is known, and may not do this.',
  },
  refused_by_hook: {
    status: 403,
    title: 'Refused',
    retryable: false,
    meaning: 'A lifecycle hook of this service refused. It may choose another 4xx.',
  },
  upload_busy: {
    status: 423,
    title: 'The upload is in use',
    retryable: true,
    retryAfterSeconds: 1,
    closes: true,
    meaning: 'Another request writes this upload. Ask again with HEAD, then go on.',
  },
  hold_lost: {
    status: 423,
    title: 'Another request took the upload over',
    retryable: true,
    retryAfterSeconds: 1,
    closes: true,
    meaning: 'This request was cut so that another one could go on. Ask with HEAD, then go on.',
  },
  finish_pending: {
    status: 423,
    title: 'The upload is being finished',
    retryable: true,
    retryAfterSeconds: 5,
    closes: true,
    meaning: 'All bytes are stored and the file is being put together. Ask again with HEAD.',
  },
  body_cut: {
    status: 400,
    title: 'The body broke off',
    retryable: true,
    closes: true,
    meaning: 'The connection ended in mid-body. What had arrived is kept; ask with HEAD, then go on.',
  },
  body_stalled: {
    status: 423,
    title: 'The body stood still',
    retryable: true,
    retryAfterSeconds: 1,
    closes: true,
    meaning:
      'No byte came for longer than the idle timeout. What had arrived is kept; ask with HEAD, then go on. ' +
      '(Not 408: browsers repeat a request on it, and tus-js-client gives up.)',
  },
  shutting_down: {
    status: 503,
    title: 'The service is stopping',
    retryable: true,
    retryAfterSeconds: 1,
    closes: true,
    meaning: 'This instance is going away. Try again: another one answers.',
  },
  store_unavailable: {
    status: 503,
    title: 'The storage is away',
    retryable: true,
    retryAfterSeconds: 5,
    meaning: 'The upload stays where it is and goes on when the storage is back.',
  },
  coordination_unavailable: {
    status: 503,
    title: 'Coordination is away',
    retryable: true,
    retryAfterSeconds: 5,
    meaning: 'The upload stays where it is and goes on when coordination (Redis) is back.',
  },
  records_unavailable: {
    status: 503,
    title: 'The database is away',
    retryable: true,
    retryAfterSeconds: 5,
    meaning: 'The upload stays where it is and goes on when the database is back.',
  },
  auth_unavailable: {
    status: 503,
    title: 'Authentication is away',
    retryable: true,
    retryAfterSeconds: 5,
    meaning: 'The keys that tokens are checked with cannot be fetched (JWT_JWKS_URL). Send the same request again.',
  },
  content_damaged: {
    status: 500,
    title: 'The stored bytes are damaged',
    retryable: false,
    meaning:
      'What the storage gave back is not what service encryption wrote there, so nothing of it is sent on. An answer that has begun is cut. docs/operations/encryption.md.',
  },
  internal: {
    status: 500,
    title: 'Internal error',
    retryable: true,
    retryAfterSeconds: 5,
    meaning: 'A fault of this service. Its log has the request id of the answer.',
  },
} as const satisfies Record<ErrorCode, ErrorRule>
