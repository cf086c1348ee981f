import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openStack } from '../../functions/stack/supervisor.ts';
import { type Bench, median } from '../report.ts';
import { openPeer, type Peer } from './peer.ts';
import { openSubmitter, type Submitter } from './submitter.ts';

/** Long enough for the dispatcher to have gone to sleep: what is measured includes waking it. */
const PAUSE_MS = { least: 150, most: 400 };

const bench: Bench = async ({ quick, progress }) => {
  const samples = quick ? 60 : 300;
  const polled = quick ? 12 : 40;
  const directory = await mkdtemp(join(tmpdir(), 'rowhouse-pickup-'));
  const stack = await openStack({ directory });
  let submitter: Submitter | undefined;
  let peers: Peer[] = [];
  try {
    for (const step of stack.steps) progress(await step.run(() => {}));
    submitter = await openSubmitter(stack.info);
    const notified = await openPeer(stack.info.database.admin, { notify: true });
    const polling = await openPeer(stack.info.database.admin, { notify: false });
    peers = [notified, polling];

    // The first ones compile code and fill caches.
    for (let warm = 0; warm < 10; warm += 1) await Promise.all([submitter.submit(), notified.submit()]);
    const ours: Sample[] = [];
    const theirs: number[] = [];
    const byPolling: number[] = [];
    for (let sample = 0; sample < samples; sample += 1) {
      if (sample % 50 === 0) progress(`${sample} of ${samples}`);
      const sides = [
        async () => ours.push((await submitter?.submit()) as Sample),
        async () => theirs.push(await notified.submit()),
      ];
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
  } finally {
    await Promise.all(peers.map((peer) => peer.close()));
    await submitter?.close();
    await stack.stop();
    await rm(directory, { recursive: true, force: true });
  }
};

export default bench;

type Sample = Awaited<ReturnType<Submitter['submit']>>;

function percentile(values: readonly number[], fraction: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * fraction) - 1] ?? Number.NaN;
}

function report(ours: Sample[], theirs: number[], byPolling: number[]) {
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
      pickup_p50_ms: round(median(pickup)),
      pickup_p95_ms: round(percentile(pickup, 0.95)),
      begun_to_running_p95_ms: round(percentile(whole, 0.95)),
      pgboss_notify_p95_ms: round(percentile(theirs, 0.95)),
      pgboss_poll_p95_ms: round(percentile(byPolling, 0.95)),
      pickup_to_pgboss_notify_ratio: round(median(pickup) / median(theirs)),
      jobs: ours.length,
    },
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
