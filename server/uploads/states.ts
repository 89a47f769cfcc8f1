/**
 * The states of an upload and the only changes allowed between them.
 *
 *   created -> receiving -> finishing -> uploaded -> processing -> available | rejected
 *   created, receiving, finishing                   -> terminated | expired | lost
 *   uploaded, processing, available, rejected       -> terminated | erased
 *   rejected  -> available   (released by a person)
 *   finishing -> receiving   (its bytes turned out short)
 */
export const UPLOAD_STATES = [
  'created',
  'receiving',
  'finishing',
  'uploaded',
  'processing',
  'available',
  'rejected',
  'terminated',
  'expired',
  'lost',
  'erased',
] as const

/** The state of an upload: the same word in code, column, event, metric and log. */
export type UploadState = (typeof UPLOAD_STATES)[number]

const ALLOWED: Readonly<Record<UploadState, readonly UploadState[]>> = {
  created: ['receiving', 'finishing', 'terminated', 'expired', 'lost'],
  receiving: ['finishing', 'terminated', 'expired', 'lost'],
  finishing: ['uploaded', 'receiving', 'terminated', 'expired', 'lost'],
  uploaded: ['processing', 'terminated', 'erased'],
  processing: ['available', 'rejected', 'terminated', 'erased'],
  available: ['terminated', 'erased'],
  rejected: ['available', 'terminated', 'erased'],
  terminated: [],
  expired: [],
  lost: [],
  erased: [],
}

/** May an upload go from one state to the other? */
export function mayEnter(from: UploadState, to: UploadState): boolean {
  return ALLOWED[from].includes(to)
}

/** The states that lead to `to`: what an UPDATE may find in the row. */
export function statesBefore(to: UploadState): readonly UploadState[] {
  return UPLOAD_STATES.filter((from) => mayEnter(from, to))
}

/** Bytes may still come, or a finish may still have to be driven on. */
export function isUnfinished(state: UploadState): boolean {
  return state === 'created' || state === 'receiving' || state === 'finishing'
}

/** The object is whole and the row names its key. */
export function isFinished(state: UploadState): boolean {
  return state === 'uploaded' || state === 'processing' || state === 'available' || state === 'rejected'
}

/** Nothing is left of it but the row. */
export function isGone(state: UploadState): boolean {
  return state === 'terminated' || state === 'expired' || state === 'lost' || state === 'erased'
}
