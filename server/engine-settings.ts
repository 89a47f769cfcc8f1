import type { Config } from './config/config.ts'
import type { EngineSettings } from './uploads/engine.ts'

/** A HEAD waits this long for row, store or session that are away, before 423. */
const INSPECT_PATIENCE_MS = 5000
/** Longest wait for somebody else's hold: a dead holder's lease and its takeover fit in. */
const HOLD_WAIT_MS = 8000

/** What of the configuration shapes the engine. */
export function engineSettings({ uploads, memory, keys, coordination }: Config): EngineSettings {
  return {
    maxBytes: uploads.maxBytes,
    maxMetadataBytes: uploads.maxMetadataBytes,
    chunkBytes: uploads.chunkBytes,
    partBytes: uploads.partBytes,
    poolBlocks: memory.bufferPoolBlocks,
    leaseMs: uploads.leaseMs,
    holdWaitMs: HOLD_WAIT_MS,
    finishWaitMs: uploads.finishWaitMs,
    idleMs: uploads.idleTimeoutMs,
    inspectStallMs: uploads.inspectStallMs,
    inspectPatienceMs: INSPECT_PATIENCE_MS,
    flushAfterMs: uploads.flushAfterMs,
    expiresAfterMs: uploads.expiresAfterMs > 0 ? uploads.expiresAfterMs : null,
    // In one process there is no second primary that could still serve an old holder.
    rebuildWaitMs: coordination.driver === 'redis' ? uploads.leaseMs : 0,
    segmentParts: uploads.segmentParts,
    keys,
  }
}
