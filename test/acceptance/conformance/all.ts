/** Every row of the checklist that concerns tus 1.0, as one suite: grouped by the settings that the rows need. */
import { after, before, describe } from 'node:test'
import type { Env } from '../../support/service.ts'
import type { Backend, Service } from '../support/backend.ts'
import { checksums } from './checksum.ts'
import { concatenation, concatenationExpiry, concatenationLimits } from './concat.ts'
import { coreDeferred, coreDiscovery, coreMethods, corePatch } from './core.ts'
import { creation, creationWithUpload, termination } from './creation.ts'
import { EXPIRES_AFTER_MS, expiration } from './expiration.ts'
import { cors, corsByDefault, forwarded, idleBodies, LIMITS, sizeLimits } from './limits.ts'
import { restarts } from './restarts.ts'
import { robustBodies, robustConnections, robustHeaders } from './robustness.ts'

type Rows = (service: () => Service) => void

export function conformance(name: string, open: () => Promise<Backend>): void {
  describe(`tus 1.0 conformance: ${name}`, () => {
    let backend: Backend | undefined
    before(async () => {
      backend = await open()
    })
    after(() => backend?.close())

    const group = (title: string, env: Env, suites: readonly Rows[]): void => {
      describe(title, () => {
        let service: Service | undefined
        before(async () => {
          service = await backend?.start(env)
        })
        after(() => service?.stop())
        for (const suite of suites) {
          suite(() => {
            if (!service) throw new Error('the service did not start')
            return service
          })
        }
      })
    }

    group('with the defaults', {}, [
      ...[coreDiscovery, corePatch, coreMethods, coreDeferred],
      ...[creation, creationWithUpload, termination, concatenation, checksums],
      ...[robustBodies, robustHeaders, robustConnections, corsByDefault],
    ])
    group('with small limits', LIMITS, [sizeLimits, concatenationLimits, idleBodies, forwarded, cors])
    const expiring = { UPLOAD_EXPIRES_AFTER: `${EXPIRES_AFTER_MS}ms`, SWEEP_EVERY: '500ms' }
    group('with a short expiry', expiring, [expiration, concatenationExpiry])
    restarts(() => {
      if (!backend) throw new Error('there is no backend')
      return backend
    })
  })
}
