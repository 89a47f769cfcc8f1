import type { RequestHandler } from 'express'
import type { Engine } from '../../uploads/api.ts'
import { principalOf } from '../context.ts'
import { uploadJson } from '../upload-json.ts'
import { requiredId } from './upload-id.ts'

/** `GET /api/v1/uploads/{id}/info`: the record. No hold is taken and no running upload is disturbed. */
export function uploadInfo(engine: Engine): RequestHandler {
  return async (req, res) => {
    const upload = await engine.record(principalOf(req), requiredId(req))
    res.setHeader('Cache-Control', 'no-store')
    res.json(uploadJson(upload))
  }
}
