/** What the process entries wire. */
export { type ConsumerMetrics, type Outcome, startConsumer } from './consumer.ts'
export { type LoadedHooks, loadHooks, noHooks } from './load.ts'
export { createBullQueue } from './queue/bullmq.ts'
export { createMemoryQueue } from './queue/memory.ts'
export type { Consumer, Queue, QueueCounts } from './queue/port.ts'
export type { Connect, ConnectionSettings } from './queue/redis-connection.ts'
export { createRelay, type Relay, type RelayMetrics } from './relay.ts'
