import { ADMIN_PATH, MANY_PATH, UPLOADS_PATH } from '../paths.ts'
import { SCHEMAS } from './schemas.ts'
import * as service from './service.ts'
import * as tus from './tus.ts'
import type { Document } from './types.ts'
import * as uploads from './uploads.ts'

const DESCRIPTION = `Resumable uploads by tus 1.0, and what else there is to do with them.

Failures are \`application/problem+json\` (RFC 9457) with a \`code\`; requests with \`Tus-Resumable\` are answered with a line of plain text that begins with the code. What may pass is retryable; \`Retry-After\` says when.

A caller has roles. **uploader**: creates, appends to, inspects and terminates own uploads. **reader**: lists and downloads own ones and reads their records. **operator**: reads the records of the whole tenant, and administers. **admin**: everything in the tenant. Another owner’s upload is 404, unless a role shows its record: then what may not be done to it is 403.`

/** The description of the whole API; a test holds it against the routes, both ways. */
export const API_DOCUMENT: Document = {
  openapi: '3.1.1',
  info: {
    title: 'Upload service',
    version: '1.0.0',
    description: DESCRIPTION,
    license: { name: 'MIT', identifier: 'MIT' },
  },
  servers: [{ url: '/', description: 'This instance.' }],
  tags: [
    { name: 'tus', description: 'The verbs of tus 1.0 (https://tus.io/protocols/resumable-upload).' },
    { name: 'Uploads', description: 'Records, files, and creations by other means.' },
    { name: 'Administration', description: 'For operators.' },
    { name: 'Health', description: 'For balancers and monitoring.' },
    { name: 'Documentation', description: 'Pages for people.' },
  ],
  paths: {
    [UPLOADS_PATH]: { post: tus.create, get: uploads.listUploads, options: tus.describe },
    [MANY_PATH]: { post: uploads.createMany },
    [`${UPLOADS_PATH}/{id}`]: {
      head: uploads.inspect,
      patch: tus.append,
      delete: tus.terminate,
      get: uploads.download,
      options: tus.describeAtUpload,
    },
    [`${UPLOADS_PATH}/{id}/info`]: { get: uploads.uploadInfo },
    [`${ADMIN_PATH}/gc`]: { post: service.collectGarbage },
    [`${ADMIN_PATH}/db-status`]: { get: service.databaseStatus },
    [`${ADMIN_PATH}/db-pool/restart`]: { post: service.restartDatabasePool },
    '/livez': { get: service.live },
    '/readyz': { get: service.ready },
    '/health': { get: service.health },
    '/metrics': { get: service.metrics },
    '/openapi.json': { get: service.document },
    '/docs': { get: service.reference },
    '/': { get: service.page },
    '/page/{name}': { get: service.pageFile },
  },
  components: {
    schemas: SCHEMAS,
    securitySchemes: {
      token: {
        type: 'http',
        scheme: 'bearer',
        bearerFormat: 'JWT',
        description: 'With AUTH_MODE=none nobody is asked for one, and everybody is an uploader and reader.',
      },
    },
  },
}
