import type { BenchReport } from '../report.ts';
import { ratioOf, type Sample, samplesByName } from '../rounds.ts';
import { median } from '../statistics.ts';
import type { GateCost } from './gate.ts';
import type { Profile } from './profile.ts';
import { type Side, type SideName, STEPS } from './sides.ts';

export function report(
  sides: readonly Side[],
  samples: Map<Side, Sample[]>,
  profiles: Record<SideName, Profile>,
  gate: GateCost,
): BenchReport {
  const before = (name: SideName) => STEPS[STEPS.indexOf(name as (typeof STEPS)[number]) - 1] ?? 'flat';
  const ratio = (side: SideName, to: SideName) => ratioOf(samples, side, to);
  const micros = (ms: number) => Math.round(ms * 1000);
  return {
    title: 'What does the wall cost, one step at a time?',
    head: [
      ...['requests per second', 'median', 'p50 ms', 'p99 ms', 'to the step before', 'to flat'],
      ...['CPU µs postgres', 'postgrest', 'µs in PostgreSQL: plan', 'execute', 'locks'],
    ],
    rows: sides.map(({ name, title }) => {
      const taken = [...samples].find(([side]) => side.name === name)?.[1] ?? [];
      const middle = (of: (sample: Sample) => number | undefined) => median(taken.map((sample) => of(sample) ?? 0));
      const { planMs, executeMs, locks, sharedLocks } = profiles[name];
      return [
        title,
        Math.round(middle((sample) => sample.requestsPerSecond)),
        middle((sample) => sample.p50Ms).toFixed(1),
        middle((sample) => sample.p99Ms).toFixed(1),
        name === 'flat' ? '' : (ratio(name, before(name))?.median ?? ''),
        name === 'flat' ? '' : (ratio(name, 'flat')?.median ?? ''),
        Math.round(middle((sample) => sample.cpuMicrosPerRequest?.postgres)),
        Math.round(middle((sample) => sample.cpuMicrosPerRequest?.postgrest)),
        micros(planMs),
        micros(executeMs),
        sharedLocks > 0 ? `${locks} (${sharedLocks} shared)` : locks,
      ];
    }),
    notes: [
      'The 20 newest files of 20 tenants in turn, 32 connections, load from the same machine. Ratios: medians of rounds.',
      `The gate takes ${gate.perTransaction} µs of CPU once in a transaction, ${gate.warm} µs called again in the same statement.`,
      'Locks: of relations, at the end of the transaction, the gate’s included. See bench/wall/README.md.',
    ],
    figures: {
      wall_vs_flat: ratio('shipped', 'flat')?.median ?? null,
      rls_vs_flat: ratio('rls', 'flat')?.median ?? null,
      seal_vs_rls: ratio('sealed', 'rls')?.median ?? null,
      partitions_vs_seal: ratio('partitioned', 'sealed')?.median ?? null,
      shipped_vs_partitions: ratio('shipped', 'partitioned')?.median ?? null,
      gate_vs_flat: ratio('flat_gated', 'flat')?.median ?? null,
      gate_us: gate.perTransaction,
      gate_warm_us: gate.warm,
    },
    bars: { wall_vs_flat: { atLeast: 0.9 }, gate_us: { atMost: 50 } },
    samples: samplesByName(samples),
    plans: Object.fromEntries(sides.map(({ name }) => [name, profiles[name].plan])),
  };
}
