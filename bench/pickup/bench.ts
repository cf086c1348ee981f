import { setTimeout as delay } from 'node:timers/promises';
import type { Bench, BenchOptions, BenchReport } from '../report.ts';
import { withStack } from '../stack.ts';
import { median, percentile, round } from '../statistics.ts';
import { openPeer, type Peer } from './peer.ts';
import { openSubmitter, type Submitter } from './submitter.ts';

/** Long enough for the dispatcher to have gone to sleep: what is measured includes waking it. */
const PAUSE_MS = { least: 150, most: 400 };

const bench: Bench = ({ quick, progress }) =>
  withStack(progress, async ({ info }) => {
    const submitter = await openSubmitter(info);
    const peers: Peer[] = [];
    try {
      for (const notify of [true, false]) peers.push(await openPeer(info.database.admin, { notify }));
      return await compare(submitter, peers as [Peer, Peer], { quick, progress });
    } finally {
      await Promise.all(peers.map((peer) => peer.close()));
      await submitter.close();
    }
  });

export default bench;

type Sample = Awaited<ReturnType<Submitter['submit']>>;

async function compare(submitter: Submitter, [notified, polling]: [Peer, Peer], { quick, progress }: BenchOptions) {
  const [samples, polled] = quick ? [60, 12] : [300, 40];
  // The first ones compile code and fill caches.
  for (let warm = 0; warm < 10; warm += 1) await Promise.all([submitter.submit(), notified.submit()]);
  const ours: Sample[] = [];
  const theirs: number[] = [];
  const byPolling: number[] = [];
  for (let sample = 0; sample < samples; sample += 1) {
    if (sample % 50 === 0) progress(`${sample} of ${samples}`);
    const sides = [async () => ours.push(await submitter.submit()), async () => theirs.push(await notified.submit())];
    for (const side of sample % 2 === 0 ? sides : sides.toReversed()) {
      await delay(PAUSE_MS.least + Math.random() * (PAUSE_MS.most - PAUSE_MS.least));
      await side();
    }
  }
  progress('pg-boss with its defaults');
  for (let sample = 0; sample < polled; sample += 1) {
    await delay(Math.random() * 2000); // any moment between two polls
    byPolling.push(await polling.submit());
  }
  return report(ours, theirs, byPolling);
}

function report(ours: Sample[], theirs: number[], byPolling: number[]): BenchReport {
  const pickup = ours.map(({ pickupMs }) => pickupMs);
  const whole = ours.map(({ wholeMs }) => wholeMs);
  const line = (name: string, values: number[]) => [
    name,
    values.length,
    ...[median(values), percentile(values, 0.95), Math.max(...values)].map((value) => value.toFixed(1)),
  ];
  return {
    title: 'How soon does a submitted job run?',
    head: ['', 'jobs', 'median ms', 'p95 ms', 'slowest ms'],
    rows: [
      line('Rowhouse: 201 → running', pickup),
      line('Rowhouse: transaction begun → running', whole),
      line('pg-boss alone, LISTEN/NOTIFY: sent → handler', theirs),
      line('pg-boss alone, its default poll: sent → handler', byPolling),
    ],
    notes: ['One job at a time on an idle stack; 201 and `running` by the database clock. See bench/pickup/README.md.'],
    figures: {
      pickup_p50_ms: round(median(pickup), 2),
      pickup_p95_ms: round(percentile(pickup, 0.95), 2),
      begun_to_running_p95_ms: round(percentile(whole, 0.95), 2),
      pgboss_notify_p95_ms: round(percentile(theirs, 0.95), 2),
      pgboss_poll_p95_ms: round(percentile(byPolling, 0.95), 2),
      pickup_to_pgboss_notify_ratio: round(median(pickup) / median(theirs), 2),
      jobs: ours.length,
    },
  };
}
