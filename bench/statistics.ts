export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** Nearest rank. */
export function percentiles(values: readonly number[], fractions: readonly number[]): number[] {
  const sorted = Float64Array.from(values).sort();
  return fractions.map((fraction) => sorted[Math.ceil(sorted.length * fraction) - 1] ?? Number.NaN);
}

export const percentile = (values: readonly number[], fraction: number) => percentiles(values, [fraction])[0] as number;

/** To so many decimals, as figures are written. */
export function round(value: number, decimals = 3): number {
  return Math.round(value * 10 ** decimals) / 10 ** decimals;
}
