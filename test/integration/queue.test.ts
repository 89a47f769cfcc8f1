import { createBullQueue } from '../../hooks/queue/bullmq.ts'
import { queueContract } from '../../hooks/queue/contract.ts'
import { freshPrefix, testServices } from '../support/services.ts'

const silent = { info() {}, warn() {}, error() {} }

queueContract('BullMQ on Redis', {
  open: (options) =>
    createBullQueue({
      ...options,
      connection: testServices().redisUrl,
      prefix: freshPrefix(),
      log: silent,
      lockMs: 1_000,
    }),
})
