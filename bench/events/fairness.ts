import { percentile } from '../statistics.ts';
import { follow } from './receipt.ts';
import { BODY, isQuiet, type Tenant, type World } from './world.ts';

/** Receipts of the small tenant, in milliseconds. */
export interface Fairness {
  alone: number[];
  beside: number[];
  /** How often the large tenant's deliveries were queued, and all of them a second that came meanwhile. */
  rounds: number;
  drainedPerSecond: number;
}

export interface FairnessOptions {
  queued: number;
  perSecond: number;
  /** Of each side, at the least: a p95 of fewer is any of them. */
  samples: number;
  progress(message: string): void;
}

/**
 * A small tenant's receipts beside a large one that has so many deliveries waiting, and alone for as many events: in turns, since the
 * machine is not as fast in one minute as in the next.
 */
export async function measureFairness(
  world: World,
  { queued, perSecond, samples, progress }: FairnessOptions,
): Promise<Fairness> {
  const { admin, receiver } = world;
  const [small, large] = await neighbours(world);
  await isQuiet(admin);
  await world.addEndpoint(small, '/timed-small');
  await world.addEndpoint(large, '/large');
  const some = { tenants: [small], perSecond };
  await follow(world, '/timed-small', { ...some, seconds: 3 });
  const fairness: Fairness = { alone: [], beside: [], rounds: 0, drainedPerSecond: 0 };
  let drainedMs = 0;
  while (fairness.beside.length < samples) {
    let waiting = true;
    const drained = receiver.expect('/large', queued, 600_000).then(() => {
      waiting = false;
    });
    await admin.query(
      `insert into app.readings (tenant_id, title, body) select $1, 'reading ' || n, $2 from generate_series(1, $3::int) as n`,
      [large.id, BODY, queued],
    );
    const began = performance.now();
    const beside = await follow(world, '/timed-small', { ...some, seconds: 600, until: () => !waiting });
    await drained;
    drainedMs += performance.now() - began;
    fairness.beside.push(...beside);
    await isQuiet(admin);
    fairness.alone.push(...(await follow(world, '/timed-small', { ...some, seconds: beside.length / perSecond })));
    fairness.rounds += 1;
    progress(
      `fairness: ${fairness.beside.length} (at least ${samples}) beside ${queued} deliveries, and as many alone`,
    );
  }
  await world.removeEndpoints();
  fairness.drainedPerSecond = (fairness.rounds * queued * 1000) / drainedMs;
  return fairness;
}

/** Two that share a slot of the ledger, where one could wait for the other. */
async function neighbours({ admin, tenants }: World): Promise<[Tenant, Tenant]> {
  const { rows } = await admin.query<{ ids: string[] }>(
    `select array_agg(id) as ids from unnest($1::text[]) as id group by ledger.slot(id) having count(*) > 1 limit 1`,
    [tenants.map(({ id }) => id)],
  );
  const [small, large] = tenants.filter(({ id }) => rows[0]?.ids.includes(id));
  if (!small || !large) throw new Error('no two tenants share a slot');
  return [small, large];
}

export const p95 = (latencies: readonly number[]) => percentile(latencies, 0.95);
