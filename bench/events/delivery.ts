import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { PgBoss } from 'pg-boss';
import { until } from '../../functions/stack/until.ts';
import { watchProcesses } from '../processes.ts';
import { runRounds, type Sample } from '../rounds.ts';
import { type Graphile, openGraphile } from './graphile.ts';
import type { NaiveJob } from './naive.ts';
import { rateOf } from './samples.ts';
import { BODY, isQuiet, type World } from './world.ts';

/** Plain: a job is fetched, sent, completed. Batched: so many jobs are fetched together, and completed together. */
const NAIVE = {
  plain: { main: 'naive-main.ts', concurrency: 20, batchSize: 1 },
  batched: { main: 'naive-main.ts', concurrency: 4, batchSize: 50 },
  graphile: { main: 'graphile-main.ts', concurrency: 20, batchSize: 1 },
  'graphile, batched': { main: 'graphile-main.ts', concurrency: 50, batchSize: 200 },
} as const;
type Naive = keyof typeof NAIVE;

export interface DeliveryOptions {
  count: number;
  rounds: number;
  progress(message: string): void;
}

interface Side {
  name: 'rowhouse' | Naive;
  pid: number;
  /** Commits what is to be delivered, while its worker stands still. */
  prepare(count: number, path: string): Promise<void>;
}

/** From committed events to a receiver that has them all, by workers that stand still until everything is committed. */
export async function measureDelivery(
  world: World,
  { count, rounds, progress }: DeliveryOptions,
): Promise<Map<Side, Sample[]>> {
  const { admin, cluster, receiver, tenants, worker } = world;
  await isQuiet(admin);
  for (const tenant of tenants) await world.addEndpoint(tenant, '/rowhouse');
  const { rows } = await admin.query<{ event: object }>(
    `select event from ledger.events where type = 'webhook.endpoints.inserted' limit 1`,
  );
  const event = {
    ...rows[0]?.event,
    type: 'app.readings.inserted',
    data: { old: null, changed: null, new: sampleRow() },
  };
  const boss = new PgBoss({
    connectionString: cluster.database.worker,
    schema: 'pgboss',
    createSchema: false,
    supervise: false,
  });
  boss.on('error', () => {});
  await boss.start();
  const graphile = await openGraphile(cluster.database.admin);
  await boss.createQueue('naive', { notify: true, retryLimit: 9, retryBackoff: true });
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
  let nth = 0;
  const jobsOf = (jobs: number, path: string) =>
    Array.from({ length: jobs }, (): NaiveJob => {
      const id = `naive_${nth++}`;
      return { url: receiver.url(path), secret, id, event: { ...event, id } };
    });
  const prepare = async (name: Naive, jobs: number, path: string) => {
    if (NAIVE[name].main === 'graphile-main.ts') return graphile.addJobs(jobsOf(jobs, path));
    for (let at = 0; at < jobs; at += 1000) {
      const batch = jobsOf(Math.min(1000, jobs - at), path);
      await boss.insert(
        'naive',
        batch.map((data) => ({ data })),
      );
    }
  };
  const ours: Side = {
    name: 'rowhouse',
    pid: worker.pid() as number,
    prepare: (events) => world.insertReadings(events),
  };
  const theirs = await Promise.all(
    (Object.keys(NAIVE) as Naive[]).map(async (name) => {
      const { main } = NAIVE[name];
      const child = await openNaive(cluster.database[main === 'naive-main.ts' ? 'worker' : 'admin'], NAIVE[name]);
      const side: Side = { name, pid: child.pid as number, prepare: (jobs, path) => prepare(name, jobs, path) };
      return { child, side };
    }),
  );
  const sides: Side[] = [ours, ...theirs.map(({ side }) => side)];
  const signal = (name: 'SIGSTOP' | 'SIGCONT', those: readonly Side[]) => {
    for (const { pid } of those) process.kill(pid, name);
  };
  signal('SIGSTOP', sides);
  try {
    return await runRounds(
      sides,
      { rounds, progress: (message) => progress(`delivery: ${message}`) },
      async (side, round) => {
        const path = `/${side.name.replace(', ', '-')}`;
        const wanted = round === 0 ? Math.ceil(count / 4) : count;
        await admin.query('checkpoint');
        await side.prepare(wanted, path);
        const reached = receiver.expect(path, wanted);
        await new Promise((resolve) => setTimeout(resolve, 50)); // the receiver knows what to look for
        const watch = watchProcesses({
          postgres: cluster.children.postgres.pid() as number,
          sender: side.pid,
          receiver: receiver.pid,
        });
        const began = performance.timeOrigin + performance.now();
        signal('SIGCONT', [side]);
        const took = (await reached) - began;
        const cpu = watch.stop(wanted);
        // What it still records is its own business, not the next one's.
        await settled(world, graphile, side.name);
        signal('SIGSTOP', [side]);
        return { ...rateOf(wanted, took), ...cpu };
      },
    );
  } finally {
    signal('SIGCONT', sides);
    for (const { child } of theirs) await closeNaive(child);
    await boss.deleteQueue('naive').catch(() => {});
    await boss.stop({ graceful: false });
    await graphile.close();
    await isQuiet(admin);
    await world.removeEndpoints();
  }
}

const sampleRow = () => {
  const at = new Date().toISOString();
  return {
    id: crypto.randomUUID(),
    tenant_id: 't_events_1',
    title: 'reading 1',
    body: BODY,
    created_at: at,
    updated_at: at,
  };
};

async function settled({ admin }: World, graphile: Graphile, side: Side['name']): Promise<void> {
  if (side === 'rowhouse') return isQuiet(admin);
  const isDone = async () => {
    if (NAIVE[side].main === 'graphile-main.ts') return graphile.isEmpty();
    const { rows } = await admin.query(`select from pgboss.job where name = 'naive' and state < 'completed' limit 1`);
    return rows.length === 0;
  };
  if (!(await until(isDone, { timeoutMs: 120_000, intervalMs: 50 }))) throw new Error(`${side} has jobs left`);
}

async function openNaive(databaseUrl: string, { main, concurrency, batchSize }: (typeof NAIVE)[Naive]) {
  const file = fileURLToPath(new URL(main, import.meta.url));
  const child = fork(file, [databaseUrl, String(concurrency), String(batchSize)], { execArgv: [] });
  await once(child, 'message');
  return child;
}

async function closeNaive(child: Awaited<ReturnType<typeof openNaive>>): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
