import type { RequestHandler } from 'express'
import type { HttpMetrics } from '../ports.ts'

/** `/metrics`: the Prometheus exposition. */
export function metricsPage(metrics: HttpMetrics): RequestHandler {
  return async (_req, res) => {
    const { contentType, body } = await metrics.expose()
    res.setHeader('Cache-Control', 'no-store')
    res.setHeader('Content-Type', contentType)
    res.end(body)
  }
}
