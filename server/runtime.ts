/**
 * How V8 runs; imported before anything else by every entry.
 *
 * Received bytes lie outside the heap, and by default V8 collects the whole heap after each 64 MiB of them: a third of
 * the CPU of a large upload. Counted within the global limit they cost no collection of their own (docs/performance.md).
 *
 * Where a machine has much memory V8 lets a heap grow to four times what is alive before it collects. One and a half is
 * enough: the rest would be memory that stands still, of which MEMORY_LIMIT_MB knows nothing.
 */
import { setFlagsFromString } from 'node:v8'

setFlagsFromString('--external-memory-accounted-in-global-limit')
setFlagsFromString('--heap-growing-percent=50')
