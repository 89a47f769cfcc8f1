/** Finds keys that look like a misspelt one of ours: a setting that silently does nothing is the worst kind of fault. */

/** Others' keys that come near one of ours. */
const FOREIGN = new Set(['PGDATABASE', 'NODE_ENV', 'HOSTNAME', 'PATH', 'HOME'])
const FARTHEST = 2
/** Keys below this length are too near to everything. */
const SHORTEST = 6

/** How many letters must be added, taken away or replaced (Levenshtein); stops counting past `limit`. */
export function editDistance(a: string, b: string, limit = FARTHEST): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return Math.min(row[b.length] ?? 0, limit + 1)
}

/** The one of `ours` that `key` was probably meant to be; null when it is one of ours, or somebody else's. */
export function misspelt(key: string, ours: readonly string[]): string | null {
  const name = key.toUpperCase()
  if (ours.includes(key) || key.length < SHORTEST || FOREIGN.has(name)) return null
  const near = ours
    .map((our) => ({ our, distance: editDistance(name, our) }))
    // EXPORT and REPORT are two letters from PORT and mean something else
    .filter(({ our, distance }) => distance <= (our.length < SHORTEST ? 1 : FARTHEST))
    .sort((a, b) => a.distance - b.distance)
  return near[0]?.our ?? null
}
