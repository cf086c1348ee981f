import type { Bench, BenchReport } from '../report.ts';
import { withStack } from '../stack.ts';
import { median, percentile, round } from '../statistics.ts';
import { fillTables } from './data.ts';
import { startNoise } from './noise.ts';
import { askSteadily, type Steady } from './steady.ts';

/** Of the noisy tenant. */
const CONNECTIONS = 64;
const REQUESTS_PER_SECOND = 20;

/** What stands between the two: all that the edge has, or its places in flight alone. */
const GUARDS = ['shipped', 'no rate limit'] as const;
type Guard = (typeof GUARDS)[number];

interface Round {
  guard: Guard;
  alone: Steady;
  beside: Steady;
  noisePerSecond: number;
}

const bench: Bench = ({ quick, progress }) =>
  withStack(progress, async ({ info, admin }) => {
    const [rounds, seconds] = quick ? [3, 5] : [6, 15];
    const { noisy, small } = await fillTables(admin);
    const steady = { origin: info.edge, token: small, requestsPerSecond: REQUESTS_PER_SECOND, seconds };
    const loud = { origin: info.edge, token: noisy, connections: CONNECTIONS };
    const measured: Round[] = [];
    await askSteadily({ ...steady, seconds: 2 });
    for (let nth = 1; nth <= rounds; nth++) {
      for (const guard of GUARDS) {
        const rate = guard === 'shipped' ? null : 1e6;
        await admin.query('update tenancy.tenant_settings set read_rate = $1, read_burst = $1', [rate]);
        const alone = await askSteadily(steady);
        const noise = await startNoise({ ...loud, seconds: seconds + 2 });
        const beside = await askSteadily(steady);
        measured.push({ guard, alone, beside, noisePerSecond: await noise.end() });
      }
      progress(`round ${nth} of ${rounds}`);
    }
    return report(measured);
  });

export default bench;

function report(measured: Round[]): BenchReport {
  const of = (guard: Guard) => measured.filter((one) => one.guard === guard);
  const all = (rounds: Round[], phase: 'alone' | 'beside') => rounds.flatMap((one) => one[phase].latenciesMs);
  const ratio = (rounds: Round[], fraction: number) =>
    percentile(all(rounds, 'beside'), fraction) / percentile(all(rounds, 'alone'), fraction);
  const errors = measured.reduce((sum, { alone, beside }) => sum + alone.errors + beside.errors, 0);
  const row = (name: string, latencies: number[], noise: number | undefined) => [
    name,
    latencies.length,
    ...[0.5, 0.95, 0.99].map((fraction) => percentile(latencies, fraction).toFixed(1)),
    noise === undefined ? '' : Math.round(noise),
  ];
  return {
    title: 'What does a small tenant notice of a noisy one?',
    head: ['', 'requests', 'median ms', 'p95 ms', 'p99 ms', 'of the noisy one/s'],
    rows: GUARDS.flatMap((guard) => [
      row(`${guard}: alone`, all(of(guard), 'alone'), undefined),
      row(`${guard}: beside`, all(of(guard), 'beside'), median(of(guard).map((one) => one.noisePerSecond))),
    ]),
    notes: [
      `${REQUESTS_PER_SECOND} reads a second beside ${CONNECTIONS} connections that read as fast as they can, none of them cached.`,
      'Both tenants are on the standard plan. `no rate limit`: nothing but the places in flight holds the noisy one back.',
      'See bench/noisy-neighbour/README.md.',
    ],
    figures: {
      p95_ratio: round(ratio(of('shipped'), 0.95), 2),
      p50_ratio: round(ratio(of('shipped'), 0.5), 2),
      p95_ratio_without_rate_limit: round(ratio(of('no rate limit'), 0.95), 2),
      errors,
      requests: measured.reduce((sum, { beside }) => sum + beside.latenciesMs.length, 0),
    },
    bars: { p95_ratio: { atMost: 1.5 }, errors: { atMost: 0 } },
  };
}
