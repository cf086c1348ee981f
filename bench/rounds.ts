import type { LoadResult } from './load.ts';
import { median, round } from './statistics.ts';

/** One measurement of one side. */
export interface Sample extends LoadResult {
  /** By name of process. */
  cpuMicrosPerRequest?: Record<string, number>;
  rssMb?: Record<string, number>;
}

/** Of the ratios within rounds. */
export interface Ratio {
  median: number;
  low: number;
  high: number;
}

export interface RoundsOptions {
  /** Besides the warm-up. */
  rounds: number;
  progress(message: string): void;
}

/**
 * Of the nth kept round, from 0. Each order is followed by its reverse, and then another side begins: what the machine does in the
 * middle of a round falls on all sides alike, and no side always follows the same one.
 */
export function orderOf<S>(sides: readonly S[], nth: number): S[] {
  const first = (nth >> 1) % sides.length;
  const order = [...sides.slice(first), ...sides.slice(0, first)];
  return nth % 2 === 0 ? order : order.reverse();
}

/** @param measure is told the round; round 0 is a warm-up, may be shorter, and is not kept */
export async function runRounds<S extends { name: string }>(
  sides: readonly S[],
  { rounds, progress }: RoundsOptions,
  measure: (side: S, round: number) => Promise<Sample>,
): Promise<Map<S, Sample[]>> {
  const samples = new Map<S, Sample[]>(sides.map((side) => [side, []]));
  for (let nth = 0; nth <= rounds; nth++) {
    for (const side of orderOf(sides, Math.max(0, nth - 1))) {
      const sample = await measure(side, nth);
      if (nth > 0) samples.get(side)?.push(sample);
    }
    progress(nth === 0 ? 'warm' : `round ${nth} of ${rounds}`);
  }
  return samples;
}

/**
 * How a side compares with another, round by round: the machine is not as fast in one as in the next.
 * @returns null where a side was not measured
 */
export function ratioOf<S extends { name: string }>(
  samples: Map<S, Sample[]>,
  side: string,
  to: string,
  of: keyof LoadResult = 'requestsPerSecond',
): Ratio | null {
  const byName = samplesByName(samples);
  const theirs = byName[to];
  const ratios = byName[side]?.flatMap((sample, nth) => (theirs?.[nth] ? [sample[of] / theirs[nth][of]] : []));
  return ratios?.length ? spread(ratios) : null;
}

/** As ratioOf(), of all CPU that a request takes: it hardly moves with what else the machine does. */
export function cpuRatioOf<S extends { name: string }>(
  samples: Map<S, Sample[]>,
  side: string,
  to: string,
): Ratio | null {
  const { [side]: ours = [], [to]: theirs = [] } = samplesByName(samples);
  const total = (sample: Sample | undefined) =>
    Object.values(sample?.cpuMicrosPerRequest ?? {}).reduce((sum, micros) => sum + micros, 0);
  const ratios = ours.map((sample, nth) => total(sample) / total(theirs[nth])).filter(Number.isFinite);
  return ratios.length > 0 ? spread(ratios) : null;
}

export function spread(values: readonly number[]): Ratio {
  return { median: round(median(values)), low: round(Math.min(...values)), high: round(Math.max(...values)) };
}

/** As `BenchReport.samples` has them. */
export function samplesByName<S extends { name: string }>(samples: Map<S, Sample[]>): Record<string, Sample[]> {
  return Object.fromEntries([...samples].map(([{ name }, taken]) => [name, taken]));
}
