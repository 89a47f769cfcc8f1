/** The middle value; of an even number the mean of the two in the middle. NaN of nothing. */
export function median(values: readonly number[]): number {
  return (quantile(values, 0.5, Math.floor) + quantile(values, 0.5, Math.ceil)) / 2
}

/** The value below which a share of the others lies. NaN of nothing. */
export function quantile(
  values: readonly number[],
  share: number,
  round: (position: number) => number = Math.round,
): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[round((sorted.length - 1) * share)] ?? Number.NaN
}

/** Three digits, as far as they say something. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const rounded = value >= 100 ? value.toFixed(0) : value.toPrecision(3)
  return rounded.includes('.') ? rounded.replace(/\.?0+$/, '') : rounded
}
