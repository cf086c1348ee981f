import type { Pool } from '../../functions/database.ts';
import type { BenchReport } from '../report.ts';
import { type Ratio, ratioOf, type Sample, samplesByName } from '../rounds.ts';
import { median, round } from '../statistics.ts';
import type { Profile } from '../wall/profile.ts';
import { sizeOf } from './data.ts';
import type { Side } from './sides.ts';
import { PARTITIONS, SHIPPED_PARTITIONS } from './tables.ts';

export async function report(
  admin: Pool,
  sides: readonly Side[],
  samples: Map<Side, Sample[]>,
  profiles: Map<Side, Profile>,
): Promise<BenchReport> {
  const sizes = sides.filter(({ name }) => name.startsWith('tenants_'));
  const [smallest, largest] = [sizes[0] as Side, sizes.at(-1) as Side];
  /** The shipped number of partitions is not loaded a second time. */
  const shipped = sizes.find(({ table }) => table.tenants === partitionedTenants(sides)) as Side;
  const ratio = (side: string, to: string, of: 'p50Ms' | 'p99Ms') => ratioOf(samples, side, to, of)?.median ?? null;

  const rows: BenchReport['rows'] = [];
  for (const side of sides) {
    const taken = samples.get(side) ?? [];
    const of = (read: (sample: Sample) => number) => round(median(taken.map(read)), 2);
    const profile = profiles.get(side);
    rows.push([
      side.title,
      await sizeOf(admin, side.table),
      of(({ p50Ms }) => p50Ms),
      of(({ p95Ms }) => p95Ms),
      of(({ p99Ms }) => p99Ms),
      spreadOf(ratioOf(samples, side.name, smallest.name, 'p50Ms')),
      Math.round(of(({ cpuMicrosPerRequest }) => cpuMicrosPerRequest?.postgres ?? Number.NaN)),
      round((profile?.planMs ?? Number.NaN) + (profile?.executeMs ?? Number.NaN), 3),
      `${profile?.locks} (${profile?.sharedLocks})`,
    ]);
  }
  const { rows: memory } = await admin.query<{ shared: string; data: string }>(
    `select current_setting('shared_buffers') as shared, pg_size_pretty(pg_database_size(current_database())) as data`,
  );
  return {
    title: 'Does a tenant notice how many others there are, and how large?',
    head: ['', 'MB', 'p50 ms', 'p95 ms', 'p99 ms', 'p50 ratio', 'PostgreSQL µs', 'statement ms', 'locks (shared)'],
    rows,
    notes: [
      `The 20 newest rows of up to 500 tenants in turn; 4 connections, PostgREST direct, no cache. 32 partitions unless said.`,
      `All tables are in one database of ${memory[0]?.data}; shared_buffers is ${memory[0]?.shared}, the rest is read from the system's cache.`,
      `PostgreSQL µs: CPU for a request. Statement: planned and run once more by one warm session. See bench/growth/README.md.`,
    ],
    figures: {
      p50_ratio: ratio(largest.name, smallest.name, 'p50Ms'),
      p99_ratio: ratio(largest.name, smallest.name, 'p99Ms'),
      zipf_ratio: ratio('zipf_largest', 'zipf_median', 'p50Ms'),
      ...Object.fromEntries(
        PARTITIONS.map((partitions) => [
          `partitions_${partitions}`,
          partitions === SHIPPED_PARTITIONS ? 1 : ratio(`partitions_${partitions}`, shipped.name, 'p50Ms'),
        ]),
      ),
    },
    bars: { p50_ratio: { atMost: 1.15 }, p99_ratio: { atMost: 1.5 }, zipf_ratio: { atMost: 1.2 } },
    samples: samplesByName(samples),
    plans: Object.fromEntries([...profiles].map(([{ name }, { plan }]) => [name, plan])),
  };
}

const partitionedTenants = (sides: readonly Side[]) =>
  sides.find(({ name }) => name.startsWith('partitions_'))?.table.tenants;

const spreadOf = (ratio: Ratio | null) => (ratio ? `${ratio.median} (${ratio.low}–${ratio.high})` : '');
