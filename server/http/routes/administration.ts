import type { RequestHandler, Response } from 'express'
import type { Administration } from '../ports.ts'

function answer(res: Response, body: object): void {
  res.setHeader('Cache-Control', 'no-store')
  res.json(body)
}

/** `POST /admin/gc`: a full garbage collection; answers what it freed. */
export function collectGarbage(administration: Administration): RequestHandler {
  return async (_req, res) => answer(res, await administration.collectGarbage())
}

/** `GET /admin/db-status`: the pool, the time of a query, the schema. */
export function databaseStatus(administration: Administration): RequestHandler {
  return async (_req, res) => answer(res, await administration.databaseStatus())
}

/** `POST /admin/db-pool/restart`: new database connections; calls under way end on the old ones. */
export function restartDatabasePool(administration: Administration): RequestHandler {
  return async (_req, res) => answer(res, await administration.restartDatabasePool())
}
