/**
 * How V8 runs; imported before anything else by every entry.
 *
 * Received bytes lie outside the heap, and by default V8 collects the whole heap after each 64 MiB of them: a third of
 * the CPU of a large upload. Counted within the global limit they cost no collection of their own (docs/performance.md).
 */
import { setFlagsFromString } from 'node:v8'

setFlagsFromString('--external-memory-accounted-in-global-limit')
