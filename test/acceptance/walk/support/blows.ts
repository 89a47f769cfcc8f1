/** What falls upon a run: kills, faults of S3, Redis emptied, Redis or Postgres away. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { PostgresProxy } from '../../../support/postgres-proxy.ts'
import type { PrivateRedis } from '../../../support/private-redis.ts'
import type { Fault } from '../../../support/s3-proxy.ts'
import type { Stage } from './stage.ts'
import type { Blow, Phase } from './track.ts'

export const PHASES: readonly Phase[] = ['before', 'applied', 'answered']

const PHASE_NAMES: Readonly<Record<Phase, string>> = {
  before: 'before the store heard of',
  applied: 'after the store applied',
  answered: 'after the answer to',
}
/** Twice the lease of the walk's instances. */
const OUTAGE_MS = 2000
/** What the service tries before it gives up. */
const TRIES = 3

/** The request's own instance dies by SIGKILL. */
export function kill(stage: Stage, phase: Phase): Blow {
  let death: Promise<void> = Promise.resolve()
  const die = async (slot: number): Promise<void> => {
    // The answer is on its way: some of the deaths come before it is read, some after.
    if (phase === 'answered') await sleep(Math.random() * 10)
    await stage.kill(slot)
  }
  return {
    name: `kill -9 ${PHASE_NAMES[phase]}`,
    phase,
    strike: async (slot) => {
      death = die(slot)
      await death
      return { kind: 'drop' }
    },
    heal: async () => {
      await death
      await stage.whole()
    },
  }
}

const nothing = async (): Promise<void> => {}

function faulty(name: string, phase: 'before' | 'applied', fault: Fault): Blow[] {
  const blow = { phase, strike: async () => fault, heal: nothing }
  return [
    { ...blow, name: `${name} for` },
    { ...blow, name: `${name}, ${TRIES} times in a row, for`, times: TRIES },
  ]
}

/** Complete is applied, its answer is lost, and from then on the store knows no such upload: as S3 does some time later. */
function forgottenComplete(): Blow {
  let asked = 0
  return {
    name: 'a reset after it was applied, then NoSuchUpload, for',
    phase: 'applied',
    only: 'CompleteMultipartUpload',
    times: Number.POSITIVE_INFINITY,
    strike: async () => (asked++ === 0 ? { kind: 'drop' } : { kind: 'error', status: 404, code: 'NoSuchUpload' }),
    heal: async () => {
      asked = 0
    },
  }
}

/** Errors of S3, once (a retry mends it) and as often as the service tries (the client has to come again). */
export function s3Faults(): Blow[] {
  const inside: Fault = { kind: 'error', status: 200, code: 'InternalError' }
  const complete = (blow: Blow): Blow => ({ ...blow, only: 'CompleteMultipartUpload' })
  return [
    ...faulty('500 InternalError', 'before', { kind: 'error', status: 500, code: 'InternalError' }),
    ...faulty('503 SlowDown', 'before', { kind: 'error', status: 503, code: 'SlowDown' }),
    ...faulty('500 although applied', 'applied', { kind: 'error', status: 500, code: 'InternalError' }),
    ...faulty('a reset after it was applied', 'applied', { kind: 'drop' }),
    ...faulty('200 with an error inside', 'before', inside).map(complete),
    ...faulty('200 with an error inside although applied', 'applied', inside).map(complete),
    forgottenComplete(),
  ]
}

/** An outage that begins at the request, which goes on meanwhile, and ends by itself. */
function away(name: string, phase: Phase, go: () => Promise<void>, comeBack: () => Promise<void>): Blow {
  let back: Promise<void> = Promise.resolve()
  return {
    name: `${name} ${PHASE_NAMES[phase]}`,
    phase,
    strike: async () => {
      const gone = go()
      back = gone.then(() => sleep(OUTAGE_MS)).then(comeBack)
      back.catch(() => {}) // heal() tells of it
      await gone
      return undefined
    },
    heal: () => back,
  }
}

export function redisAway(redis: PrivateRedis, phase: Phase): Blow {
  return away('Redis dies and comes back empty,', phase, redis.kill, redis.start)
}

export function redisFrozen(redis: PrivateRedis, phase: Phase): Blow {
  return away(
    'Redis freezes for longer than a lease,',
    phase,
    async () => redis.pause(),
    async () => redis.resume(),
  )
}

export function redisFlushed(redis: PrivateRedis, phase: Phase): Blow {
  const strike = async (): Promise<undefined> => {
    await redis.admin.flushall()
    return undefined
  }
  return { name: `FLUSHALL ${PHASE_NAMES[phase]}`, phase, strike, heal: nothing }
}

export function postgresAway(postgres: PostgresProxy, phase: Phase): Blow {
  return away('Postgres is away,', phase, postgres.down, postgres.up)
}
