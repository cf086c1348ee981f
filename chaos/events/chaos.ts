import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createPool, type Pool } from '../../functions/database.ts';
import { until } from '../../functions/stack/until.ts';
import { openCluster } from '../cluster.ts';
import type { Chaos } from '../run.ts';
import { judgeControl } from './control.ts';
import { judge, pairOf } from './judge.ts';
import { type Kills, startKills } from './kills.ts';
import { openReceivers } from './receivers.ts';
import { report } from './report.ts';
import { isDispatched, pendingDeliveries, populate, readEvents } from './world.ts';
import { rotateSecrets, startWriters } from './writers.ts';

const WORKERS = 2;
/** Of 75 hours: the last attempt is made after 27 seconds. */
const WORKER_ENV = { WEBHOOK_RETRY_SCALE: '0.0001', WEBHOOK_CIRCUIT_OPEN_MS: '200' };
const PROGRESS_MS = 5000;
/** For a number of events to be written; the run hangs no longer. */
const WRITING_MS = 10 * 60_000;

interface Size {
  events: number;
  tenants: number;
  /** While events are written; a few more follow while they are delivered. */
  kills: number;
  /** What is not delivered by then is lost. */
  drainMs: number;
}

const SMALL: Size = { events: 5000, tenants: 8, kills: 12, drainMs: 60_000 };
const WHOLE: Size = { events: 20_000, tenants: 20, kills: 22, drainMs: 600_000 };

const chaos: Chaos = async ({ quick, progress }) => {
  const size = quick ? SMALL : WHOLE;
  const cluster = await openCluster(await mkdtemp(join(tmpdir(), 'rowhouse-chaos-')));
  const closing: (() => unknown)[] = [() => cluster.stop()];
  try {
    progress('workers, an edge, tenants and endpoints');
    const workers = [];
    for (let nth = 0; nth < WORKERS; nth++) workers.push(await cluster.startWorker(WORKER_ENV));
    const edge = await cluster.startEdge(cluster.database.edge);
    const receivers = await openReceivers();
    closing.push(() => receivers.close());
    const world = await populate(cluster, size.tenants, receivers);
    const pool = createPool(cluster.database.edge, 'chaos-writers', 8);
    closing.push(() => pool.end());
    const admin = createPool(cluster.database.admin, 'chaos-judge', 2);
    closing.push(() => admin.end());

    const { postgres, postgrest } = cluster.children;
    const kills = startKills([
      { child: postgres, signal: 'SIGQUIT', stalls: workers },
      ...[postgrest, edge.child, ...workers].map((child) => ({ child, signal: 'SIGKILL' as const })),
    ]);
    closing.push(() => kills.settle());
    const places = { edge: edge.url, postgrest: cluster.postgrest, pool };
    const { written, done } = startWriters({ ...places, tenants: world.tenants, target: size.events });
    const said = () =>
      `${written.acknowledged.size} of ${size.events} events, ${receivers.receipts.length} requests, ${kills.total()} kills`;
    const saying = setInterval(() => progress(said()), PROGRESS_MS);
    const ending = new AbortController();
    closing.push(() => {
      clearInterval(saying);
      ending.abort();
    });

    const breaking = breakAll(kills, size, () => written.acknowledged.size, ending.signal);
    const rotating = until(() => written.acknowledged.size > size.events / 3, {
      timeoutMs: WRITING_MS,
      signal: ending.signal,
    }).then(() => rotateSecrets(cluster.postgrest, world.tenants));
    await Promise.all([done, breaking, rotating]);
    await kills.settle();
    receivers.calm();
    const began = performance.now();
    await drain(admin, size, progress);
    clearInterval(saying);

    progress('judging');
    const { rows } = await admin.query<{ endpoint: string; position: string }>(
      `select endpoint_id as endpoint, position from webhook.deliveries where status = 'dead' or attempts_before > 0`,
    );
    const events = await readEvents(admin);
    const early = new Set(
      events.filter(({ position }) => position <= world.since).map(({ tenant, id }) => `${tenant} ${id}`),
    );
    const evidence = {
      endpoints: world.tenants.flatMap(({ endpoints }) => endpoints),
      events: events.filter(({ position }) => position > world.since),
      receipts: receivers.receipts.filter(({ endpoint, id }) => !early.has(`${endpoint.tenant} ${id}`)),
      written,
      dead: new Set(rows.map(({ endpoint, position }) => pairOf({ id: endpoint }, `evt_${position}`))),
    };
    return report({
      verdict: judge(evidence),
      control: judgeControl(evidence),
      evidence,
      kills,
      killsWanted: size.kills,
      faults: receivers.faults,
      drainSeconds: (performance.now() - began) / 1000,
    });
  } finally {
    for (const close of closing.toReversed()) await close();
  }
};

export default chaos;

/** Spread over the events; then three while what is written is being delivered. */
async function breakAll(
  kills: Kills,
  { events, kills: times }: Size,
  acknowledged: () => number,
  signal: AbortSignal,
): Promise<void> {
  for (let nth = 0; nth < times && !signal.aborted; nth++) {
    const at = ((nth + Math.random()) / times) * events;
    await until(() => acknowledged() >= at, { timeoutMs: WRITING_MS, signal });
    await kills.one();
  }
  await until(() => acknowledged() >= events, { timeoutMs: WRITING_MS, signal });
  for (let nth = 0; nth < 3 && !signal.aborted; nth++) {
    await delay(500 + Math.random() * 1500);
    await kills.one();
  }
}

/** Until nothing is left to deliver. What is given up meanwhile is said; the judge finds what is left. */
async function drain(admin: Pool, { drainMs }: Size, progress: (message: string) => void): Promise<void> {
  let pending = -1;
  const delivered = async () => {
    if (!(await isDispatched(admin))) return false;
    pending = await pendingDeliveries(admin);
    return pending === 0;
  };
  const all = await until(() => delivered().catch(() => false), { timeoutMs: drainMs, intervalMs: 500 });
  if (!all) progress(`${pending} deliveries are still pending`);
}
