import type { RequestHandler, Response } from 'express'
import { ERROR_TABLE } from '../../errors/table.ts'
import { parseUploadId } from '../../uploads/id.ts'
import { contextOf, type RequestContext } from '../context.ts'
import { pathOf, UPLOADS_PATH } from '../paths.ts'
import type { AccessEntry, HttpLog, HttpMetrics } from '../ports.ts'
import type { Proxies } from '../proxies.ts'

/** One log entry and one observation a request, when its answer is through or the client has left. */
export function accessLog(log: HttpLog, metrics: HttpMetrics, proxies: Proxies): RequestHandler {
  return (req, res, next) => {
    const startedAt = performance.now()
    metrics.started()
    res.once('close', () => {
      const context = contextOf(req)
      if (context === null) return
      const durationMs = performance.now() - startedAt
      const method = req.method
      const entry = { ...entryOf(context, res), method, durationMs, remote: proxies.clientOf(req) }
      metrics.finished(entry.operation, method, entry.status, durationMs / 1000)
      const { failure } = context
      if (failure !== null && ERROR_TABLE[failure.code].status >= 500) log.failure(failure, entry)
      log.request(entry)
    })
    next()
  }
}

function entryOf(context: RequestContext, res: Response): Omit<AccessEntry, 'method' | 'durationMs' | 'remote'> {
  const rest = pathOf(context.url).slice(UPLOADS_PATH.length + 1)
  return {
    requestId: context.requestId,
    operation: context.operation,
    status: res.headersSent ? res.statusCode : 0,
    uploadId: parseUploadId(rest.split('/', 1)[0] ?? ''),
    tenant: context.principal?.tenant ?? null,
    owner: context.principal?.subject ?? null,
    code: context.failure?.code ?? null,
    aborted: !res.writableFinished,
  }
}
