import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../functions/stack/until.ts';
import { watchProcesses } from '../processes.ts';
import { percentiles } from '../statistics.ts';
import { BODY, isQuiet, type Tenant, type World } from './world.ts';

export interface Receipts {
  p50Ms: number;
  p95Ms: number;
  p99Ms: number;
  count: number;
}

const clock = () => performance.timeOrigin + performance.now();

/** Commits an event, and notes when its commit was answered. */
async function commitOne({ admin }: World, tenant: string, committed: Map<string, number>): Promise<void> {
  const id = crypto.randomUUID();
  await admin.query({
    name: 'bench-reading',
    text: 'insert into app.readings (tenant_id, id, title, body) values ($1, $2, $3, $4)',
    values: [tenant, id, 'a reading', BODY],
  });
  committed.set(id, clock());
}

/** Sends so many a second for so long, whatever becomes of those before; then waits for all of them. */
export async function follow(
  world: World,
  path: string,
  options: { tenants: readonly Tenant[]; perSecond: number; seconds: number; until?: () => boolean },
) {
  const { tenants, perSecond, seconds } = options;
  const committed = new Map<string, number>();
  const sending: Promise<void>[] = [];
  const began = performance.now();
  for (let nth = 0; nth < perSecond * seconds && !options.until?.(); nth++) {
    const due = began + (nth * 1000) / perSecond;
    await delay(Math.max(0, due - performance.now()));
    sending.push(commitOne(world, (tenants[nth % tenants.length] as Tenant).id, committed));
  }
  await Promise.all(sending);
  const arrived = new Map<string, number>();
  const all = async () => {
    for (const [subject, at] of await world.receiver.take(path)) arrived.set(subject, at);
    return arrived.size >= committed.size;
  };
  if (!(await until(all, { timeoutMs: 60_000, intervalMs: 250 })))
    throw new Error(`${arrived.size} of ${committed.size} events came to ${path}`);
  return [...committed].map(([id, at]) => (arrived.get(id) ?? Number.NaN) - at);
}

/** 100 events a second, for tenants in turn, each with an endpoint. */
export async function measureReceipt(
  world: World,
  { seconds, progress }: { seconds: number; progress(message: string): void },
) {
  const { tenants, cluster, worker, receiver } = world;
  await isQuiet(world.admin);
  for (const tenant of tenants) await world.addEndpoint(tenant, '/timed');
  progress('receipt: warming');
  await follow(world, '/timed', { tenants, perSecond: 100, seconds: 3 });
  progress(`receipt: 100 events a second for ${seconds} s`);
  const watch = watchProcesses({
    postgres: cluster.children.postgres.pid() as number,
    worker: worker.pid() as number,
    receiver: receiver.pid,
  });
  const latencies = await follow(world, '/timed', { tenants, perSecond: 100, seconds });
  const cpu = watch.stop(latencies.length);
  await isQuiet(world.admin);
  await world.removeEndpoints();
  const [p50Ms = 0, p95Ms = 0, p99Ms = 0] = percentiles(latencies, [0.5, 0.95, 0.99]);
  return { p50Ms, p95Ms, p99Ms, count: latencies.length, cpu };
}
