import type { RequestHandler, Response } from 'express'
import type { HttpHealth } from '../ports.ts'

function sendStatus(res: Response, status: number, body: object): void {
  res.setHeader('Cache-Control', 'no-store')
  if (status === 503) res.setHeader('Retry-After', '1')
  res.status(status).json(body)
}

/** `/livez`: 200 while the process runs. */
export function live(): RequestHandler {
  return (_req, res) => sendStatus(res, 200, { status: 'ok' })
}

/** `/readyz`: 503 only while starting or draining, so that no balancer takes out every instance over a dependency. */
export function ready(health: HttpHealth): RequestHandler {
  return (_req, res) => {
    const phase = health.phase()
    sendStatus(res, phase === 'serving' ? 200 : 503, { status: phase === 'serving' ? 'ok' : phase })
  }
}

/** `/health`: what is degraded is in the body; `?strict` makes it a 503. */
export function health(source: HttpHealth): RequestHandler {
  return async (req, res) => {
    const report = await source.report()
    const strict = new URL(req.originalUrl, 'http://localhost').searchParams.has('strict')
    const well = source.phase() === 'serving' && (!strict || report.status === 'ok')
    sendStatus(res, well ? 200 : 503, report)
  }
}
