import { failures, guarded, json, open, query, ref } from './build.ts'
import type { Answer, Operation } from './types.ts'

const notServing = (schema: string, description: string): Answer => ({ description, content: json(ref(schema)) })

export const live: Operation = open({
  operationId: 'getLiveness',
  summary: 'Does the process run?',
  tags: ['Health'],
  responses: { 200: { description: 'It does.', content: json(ref('Phase')) } },
})

export const ready: Operation = open({
  operationId: 'getReadiness',
  summary: 'Does this instance take requests?',
  tags: ['Health'],
  responses: {
    200: { description: 'It does.', content: json(ref('Phase')) },
    503: notServing('Phase', 'It is starting or draining.'),
  },
})

export const health: Operation = open({
  operationId: 'getHealth',
  summary: 'The instance and what it depends on',
  description: '503 only while starting or draining; what is degraded is in the body.',
  tags: ['Health'],
  parameters: [query('strict', 'Answers 503 for `degraded` too.', { type: 'string' })],
  responses: {
    200: { description: 'It takes requests.', content: json(ref('Health')) },
    503: notServing('Health', 'It does not, or `strict` was asked and something is away.'),
  },
})

export const metrics: Operation = open({
  operationId: 'getMetrics',
  summary: 'Metrics for Prometheus',
  tags: ['Health'],
  responses: { 200: { description: 'The exposition.', content: { 'text/plain': { schema: { type: 'string' } } } } },
})

export const document: Operation = open({
  operationId: 'getApiDocument',
  summary: 'This document',
  tags: ['Documentation'],
  responses: { 200: { description: 'OpenAPI 3.1.', content: json({ type: 'object' }) } },
})

const html: Answer = { description: 'A page.', content: { 'text/html': { schema: { type: 'string' } } } }

export const reference: Operation = open({
  operationId: 'getReferencePage',
  summary: 'This document as a page',
  tags: ['Documentation'],
  responses: { 200: html },
})

export const page: Operation = open({
  operationId: 'getUploadPage',
  summary: 'The upload page',
  tags: ['Documentation'],
  responses: { 200: html },
})

export const pageFile: Operation = open({
  operationId: 'getUploadPageFile',
  summary: 'A file of the upload page',
  tags: ['Documentation'],
  parameters: [{ name: 'name', in: 'path', required: true, description: 'The file.', schema: { type: 'string' } }],
  responses: {
    200: {
      description: 'Script, style sheet or image.',
      content: { '*/*': { schema: { type: 'string', format: 'binary' } } },
    },
    ...failures('problem', 'not_found'),
  },
})

const ONLY = 'Operators only; from inside the container without a token by the local socket.'

export const collectGarbage: Operation = guarded(['administer'], {
  operationId: 'collectGarbage',
  summary: 'A full garbage collection',
  description: `${ONLY} The process answers nothing else while it runs (some tens of milliseconds).`,
  tags: ['Administration'],
  responses: { 200: { description: 'What it freed.', content: json(ref('GarbageCollection')) } },
})

export const databaseStatus: Operation = guarded(['administer'], {
  operationId: 'getDatabaseStatus',
  summary: 'Pool, time of a query, schema',
  description: ONLY,
  tags: ['Administration'],
  responses: {
    200: { description: 'How the database is.', content: json(ref('DatabaseStatus')) },
    ...failures('problem', 'records_unavailable'),
  },
})

export const restartDatabasePool: Operation = guarded(['administer'], {
  operationId: 'restartDatabasePool',
  summary: 'New database connections for the old ones',
  description: `${ONLY} Calls under way end on the old connections; no upload is disturbed.`,
  tags: ['Administration'],
  responses: {
    200: { description: 'The pool before and after.', content: json(ref('PoolRestart')) },
    ...failures('problem', 'records_unavailable'),
  },
})
