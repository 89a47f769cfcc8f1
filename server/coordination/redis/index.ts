/** The Redis driver of the coordination port. */
export { createRedisClient, type RedisClient, type RedisClientOptions } from './client.ts'
export { createRedisCoordination, type RedisCoordination, type RedisCoordinationOptions } from './coordination.ts'
export { assertNoEviction, EvictingRedis } from './policy.ts'
export { describeTarget, parseRedisUrl, type RedisTarget } from './url.ts'
