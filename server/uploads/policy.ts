import { UploadError } from './errors.ts'
import type { Principal, Role, Upload } from './words.ts'

/** What may be asked of uploads, whatever the dialect. `list` is a record of many. */
export const ACTIONS = ['create', 'append', 'inspect', 'terminate', 'record', 'list', 'download'] as const

export type Action = (typeof ACTIONS)[number]

/** How far a role reaches with an action: uploads of the caller, or of everybody in the caller's tenant. */
export type Reach = 'own' | 'tenant'

/**
 * Who may do what; what is not here may not be done. Nothing reaches into another tenant. `administer` is the process:
 * garbage collection, database pool.
 */
export const POLICY: Readonly<Record<Role, Readonly<Partial<Record<Action | 'administer', Reach>>>>> = {
  uploader: { create: 'own', append: 'own', inspect: 'own', terminate: 'own' },
  reader: { record: 'own', list: 'own', download: 'own' },
  operator: { record: 'tenant', list: 'tenant', administer: 'tenant' },
  admin: {
    create: 'tenant',
    append: 'tenant',
    inspect: 'tenant',
    terminate: 'tenant',
    record: 'tenant',
    list: 'tenant',
    download: 'tenant',
    administer: 'tenant',
  },
}

/** How far the caller's roles together reach; null: not at all. */
export function reachOf(principal: Principal, action: Action | 'administer'): Reach | null {
  const reaches = principal.roles.map((role) => POLICY[role][action])
  if (reaches.includes('tenant')) return 'tenant'
  return reaches.includes('own') ? 'own' : null
}

/** Throws forbidden when none of the caller's roles may do this to any upload, nor to the process. */
export function requireRole(principal: Principal, action: Action | 'administer'): Reach {
  const reach = reachOf(principal, action)
  if (reach !== null) return reach
  const roles = principal.roles.length === 0 ? 'no role' : `the roles ${principal.roles.join(', ')}`
  throw new UploadError('forbidden', `"${action}" is not for a caller with ${roles}.`)
}

/**
 * Throws not_found for an upload that the caller may not even know of (another tenant's, another owner's), forbidden
 * for one that the caller knows and may not do this to.
 */
export function requireAccess(principal: Principal, action: Action, upload: Upload): void {
  const mine = upload.tenant === principal.tenant && upload.owner === principal.subject
  const known = mine || (upload.tenant === principal.tenant && reachOf(principal, 'record') === 'tenant')
  const reach = upload.tenant === principal.tenant ? reachOf(principal, action) : null
  if (reach === 'tenant' || (reach === 'own' && mine)) return
  if (!known) throw new UploadError('not_found', `There is no upload ${upload.id}.`)
  requireRole(principal, action)
  throw new UploadError('forbidden', `"${action}" is for the owner of upload ${upload.id}.`)
}

/** Whose uploads a list shows: `owner` as asked for. undefined: everybody's of the tenant. Throws forbidden. */
export function listedOwner(principal: Principal, owner: string | undefined): string | undefined {
  if (requireRole(principal, 'list') === 'tenant') return owner
  if (owner === undefined || owner === principal.subject) return principal.subject
  throw new UploadError('forbidden', 'Only operators and admins may list the uploads of another owner.')
}
