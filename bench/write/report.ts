import type { BenchReport } from '../report.ts';
import { ratioOf, type Sample } from '../rounds.ts';
import { median } from '../statistics.ts';
import type { Side } from './sides.ts';
import { type SideName, STEPS } from './tables.ts';

type Samples = Map<Side, Sample[]>;

export function report(sides: readonly Side[], samples: Record<1 | 1000, Samples>): BenchReport {
  const ratio = (rows: 1 | 1000, side: SideName, to: SideName) => ratioOf(samples[rows], side, to)?.median ?? null;
  const before = (name: SideName) => STEPS[STEPS.indexOf(name) - 1] ?? 'flat';
  const shapes = [1, 1000] as const;
  const steps = STEPS.slice(1).flatMap((name) =>
    shapes.map((rows) => [`insert_${rows === 1 ? 'one' : rows}_${name}`, ratio(rows, name, before(name))] as const),
  );
  return {
    title: 'What does the wall cost those who write?',
    head: [
      ...['', 'rows a POST', 'POSTs per second', 'p50 ms', 'p99 ms', 'to the step before', 'to bare'],
      ...['CPU µs a POST: postgres', 'postgrest'],
    ],
    rows: shapes.flatMap((rows) =>
      sides.map((side) => {
        const taken = samples[rows].get(side) ?? [];
        const middle = (of: (sample: Sample) => number | undefined) => median(taken.map((sample) => of(sample) ?? 0));
        const first = side.name === 'flat';
        return [
          side.title,
          rows,
          Math.round(middle((sample) => sample.requestsPerSecond) * 10) / 10,
          middle((sample) => sample.p50Ms).toFixed(1),
          middle((sample) => sample.p99Ms).toFixed(1),
          first ? '' : (ratio(rows, side.name, before(side.name)) ?? ''),
          first ? '' : (ratio(rows, side.name, 'flat') ?? ''),
          Math.round(middle((sample) => sample.cpuMicrosPerRequest?.postgres)),
          Math.round(middle((sample) => sample.cpuMicrosPerRequest?.postgrest)),
        ];
      }),
    ),
    notes: [
      '20 tenants in turn, 32 connections for one row, 4 for 1,000; load from the same machine. Ratios: medians of rounds.',
      'Commits wait for the disk (synchronous_commit is on, as shipped). See bench/write/README.md.',
    ],
    figures: {
      insert_one_ratio: ratio(1, 'shipped', 'flat'),
      insert_1000_ratio: ratio(1000, 'shipped', 'flat'),
      ...Object.fromEntries(steps),
    },
    bars: { insert_one_ratio: { atLeast: 0.75 }, insert_1000_ratio: { atLeast: 0.5 } },
    samples: Object.fromEntries(
      shapes.flatMap((rows) => [...samples[rows]].map(([{ name }, taken]) => [`${name}, ${rows}`, taken])),
    ),
  };
}
