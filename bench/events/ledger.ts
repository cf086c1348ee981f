import { type LoadRequest, runLoad } from '../load.ts';
import { watchProcesses } from '../processes.ts';
import { runRounds, type Sample } from '../rounds.ts';
import { rateOf } from './samples.ts';
import { BODY, isQuiet, moveCursors, TENANTS, type World } from './world.ts';

interface Side {
  name: 'unrecorded' | 'recorded' | 'followed';
  table: 'readings' | 'unrecorded';
}

/** The last one while a worker reads what is recorded, for two consumers. */
const SIDES: readonly Side[] = [
  { name: 'unrecorded', table: 'unrecorded' },
  { name: 'recorded', table: 'readings' },
  { name: 'followed', table: 'readings' },
];
export const BULK = 10_000;
const WARM_SECONDS = 0.5;

const requestsOf = (table: string, tenants: World['tenants'], rows: number): LoadRequest[] => {
  const notes = Array.from({ length: rows }, (_, nth) => ({ title: `note ${nth}`, body: BODY }));
  const body = JSON.stringify(rows === 1 ? notes[0] : notes);
  return tenants.map(({ token }) => ({
    method: 'POST',
    path: `/${table}`,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', prefer: 'return=minimal' },
    body,
  }));
};

export interface LedgerOptions {
  rounds: number;
  seconds: number;
  progress(message: string): void;
}

/** The same rows into a table with the ledger and into one without, both behind the wall. */
export async function measureLedger(world: World, { rounds, seconds, progress }: LedgerOptions) {
  const { admin, cluster, tenants } = world;
  const { postgres, postgrest } = cluster.children;
  const pids = () => ({ postgres: postgres.pid() as number, postgrest: postgrest.pid() as number });
  await isQuiet(admin);
  await world.stopWorker();

  async function sampled(
    side: Side,
    measure: () => Promise<Sample>,
    warm: () => Promise<unknown> = async () => {},
  ): Promise<Sample> {
    await admin.query('truncate app.readings, app.unrecorded, ledger.entries');
    for (const consumer of ['webhooks', 'jobs']) await moveCursors(admin, consumer);
    if (side.name === 'followed') {
      await world.startWorker();
      await isQuiet(admin);
    }
    await admin.query('checkpoint');
    await warm();
    const watch = watchProcesses(pids());
    const sample = await measure();
    const cpu = watch.stop(sample.requests);
    if (side.name === 'followed') {
      await isQuiet(admin);
      await world.stopWorker();
    }
    return { ...sample, ...cpu };
  }

  const post = (side: Side, rows: number, connections: number, time: number) => {
    const requests = requestsOf(side.table, tenants, rows);
    const load = { origin: cluster.postgrest, requests, connections };
    return sampled(
      side,
      async () => {
        const result = await runLoad({ ...load, seconds: time });
        // Few of those with many rows end in a second: their number would be 6 or 7, whatever they took.
        return rows === 1 ? result : { ...result, requestsPerSecond: (1000 * connections) / result.p50Ms };
      },
      // Each of PostgREST's sessions forgets what it knew of a table that was emptied: its plans, and what is in the catalogue.
      () => runLoad({ ...load, seconds: WARM_SECONDS }),
    );
  };

  const insert = (side: Side, times: number) =>
    sampled(side, async () => {
      const began = performance.now();
      for (let nth = 0; nth < times; nth++) {
        await admin.query(
          `insert into app.${side.table} (tenant_id, title, body) select $1, 'note ' || n, $2 from generate_series(1, ${BULK}) as n`,
          [tenants[nth % TENANTS]?.id, BODY],
        );
      }
      return rateOf(times, performance.now() - began);
    });

  const timed = (round: number) => (round === 0 ? 1 : seconds);
  const single = await runRounds(
    SIDES,
    { rounds, progress: (message) => progress(`one row: ${message}`) },
    (side, round) => post(side, 1, 32, timed(round)),
  );
  const bulk = await runRounds(
    SIDES,
    { rounds, progress: (message) => progress(`${BULK} rows: ${message}`) },
    (side, round) => post(side, BULK, 1, timed(round)),
  );
  const sql = await runRounds(
    SIDES.filter(({ name }) => name !== 'followed'),
    { rounds, progress: (message) => progress(`${BULK} rows by SQL: ${message}`) },
    (side, round) => insert(side, round === 0 ? 2 : 6),
  );
  await world.startWorker();
  return { single, bulk, sql };
}
