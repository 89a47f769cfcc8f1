/**
 * Received bytes lie outside V8's heap and most of them die at once. V8 looks for the dead among the young only when the
 * heap itself has filled up, which a few large chunks hardly do; until then they pile up, and what they pile up to makes it
 * collect the whole heap, again and again. Looking through the young ones after each 16 MiB takes a millisecond or two and
 * leaves nothing to pile up (docs/performance.md).
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const EVERY_BYTES = 16 * 1024 * 1024

/** To be told how many bytes came; collects what died young after each `everyBytes` of them. */
export function youngCollector(everyBytes = EVERY_BYTES, collect = minorCollection()): (received: number) => void {
  let since = 0
  return (received) => {
    since += received
    if (since < everyBytes) return
    since = 0
    collect()
  }
}

/** V8 shows its collector to a context that is made while the flag is set. Where it does not, nothing is collected early. */
function minorCollection(): () => void {
  setFlagsFromString('--expose-gc')
  const gc: unknown = runInNewContext('globalThis.gc')
  setFlagsFromString('--no-expose-gc')
  return typeof gc === 'function' ? () => void Reflect.apply(gc, undefined, [{ type: 'minor' }]) : () => {}
}
