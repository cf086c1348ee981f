import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ChaosCluster, openCluster } from '../../chaos/cluster.ts';
import { createPool, type Pool } from '../../functions/database.ts';
import type { Child } from '../../functions/stack/child.ts';
import { until } from '../../functions/stack/until.ts';
import { openReceiver, type Receiver } from './receiver.ts';

export const TENANTS = 20;

export interface Tenant {
  id: string;
  token: string;
}

/** What each part of the question works on. */
export interface World {
  cluster: ChaosCluster;
  /** Of the superuser. */
  admin: Pool;
  tenants: Tenant[];
  worker: Child;
  /** Ends the worker, or begins another one: `worker` is the last that was begun. */
  stopWorker(): Promise<void>;
  startWorker(): Promise<void>;
  receiver: Receiver;
  /** Of a tenant, for all of its events; a URL of the receiver's. */
  addEndpoint(tenant: Tenant, path: string): Promise<{ id: string; secret: string }>;
  removeEndpoints(): Promise<void>;
  /** Rows of app.readings, each a committed event, for tenants in turn. */
  insertReadings(count: number): Promise<void>;
  /** Starts everything from nothing: no rows, no entries, no deliveries, no jobs. */
  empty(): Promise<void>;
}

const readings = (name: string) => `
  create table app.${name} (
    tenant_id tenancy.tenant_id not null,
    id uuid not null default uuidv7(),
    title text not null,
    body text not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ${name}_pkey primary key (tenant_id, id)
  ) partition by hash (tenant_id);
  create index ${name}_created_at_idx on app.${name} (tenant_id, created_at desc, id desc);`;

/** The same table twice, one of them without the ledger. */
const SCHEMA = `
  set role rowhouse_owner;
  ${readings('readings')}
  select tenancy.protect('app.readings', expose => true);
  ${readings('unrecorded')}
  select tenancy.protect('app.unrecorded', expose => true, ledger => false);
  update tenancy.plans set read_rate = 1000000, read_burst = 1000000, write_rate = 1000000, write_burst = 1000000;
  select tenancy.create_tenant('t_events_' || n, 't-events-' || n, 'Events', 'bench') from generate_series(1, ${TENANTS}) as n;
  reset role;
  notify pgrst, 'reload schema'`;

export const BODY =
  'A note is as long as a short message: two sentences, or a line of a log. This one has 120 characters, more or less.';

export async function withWorld<T>(
  progress: (message: string) => void,
  work: (world: World) => Promise<T>,
): Promise<T> {
  const cluster = await openCluster(await mkdtemp(join(tmpdir(), 'rowhouse-bench-')));
  const closing: (() => Promise<unknown>)[] = [() => cluster.stop()];
  try {
    const admin = createPool(cluster.database.admin, 'bench', 8);
    closing.push(() => admin.end());
    await admin.query(SCHEMA);
    const { rows: tenants } = await admin.query<Tenant>(`
      select id, auth.issue_token(id, 'bench', 'owner', '12 hours') as token from tenancy.tenants
      where id like 't\\_events\\_%' order by id`);
    const receiver = await openReceiver();
    closing.push(() => receiver.close());
    const world: World = {
      ...{ cluster, admin, tenants, receiver, ...actions({ cluster, admin, receiver }) },
      worker: await cluster.startWorker(),
      stopWorker: () => world.worker.stop(),
      async startWorker() {
        world.worker = await cluster.startWorker();
      },
    };
    progress('PostgreSQL, PostgREST, a worker and a receiver');
    return await work(world);
  } finally {
    for (const close of closing.toReversed()) await close();
  }
}

function actions({ cluster, admin, receiver }: Pick<World, 'cluster' | 'admin' | 'receiver'>) {
  return {
    async addEndpoint({ token }: Tenant, path: string): Promise<{ id: string; secret: string }> {
      const call = () =>
        fetch(`${cluster.postgrest}/rpc/create_webhook_endpoint`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: JSON.stringify({ url: receiver.url(path), event_types: ['app.readings.*'] }),
        });
      let answer = await call();
      for (let tries = 0; tries < 100 && !answer.ok; tries++) {
        await delay(100); // until PostgREST has loaded the schema
        answer = await call();
      }
      if (!answer.ok) throw new Error(`an endpoint could not be made: ${await answer.text()}`);
      return (await answer.json()) as { id: string; secret: string };
    },

    async removeEndpoints(): Promise<void> {
      await admin.query('delete from webhook.endpoints');
    },

    async insertReadings(count: number): Promise<void> {
      await admin.query(
        `insert into app.readings (tenant_id, title, body)
         select 't_events_' || (n % ${TENANTS} + 1), 'reading ' || n, $2 from generate_series(1, $1::int) as n`,
        [count, BODY],
      );
    },

    async empty(): Promise<void> {
      await admin.query(`truncate app.readings, app.unrecorded, app.jobs, ledger.entries, webhook.deliveries, webhook.attempts,
        pgboss.job_common, ledger.backlogs cascade`);
      await moveCursors(admin);
      // What was left to be flushed would be flushed at the next one's expense.
      await admin.query('checkpoint');
    },
  };
}

/** As if all of the ledger up to a position had been handed over, to the end by default; while no worker hands over. */
export async function moveCursors(admin: Pool, consumer = 'webhooks', position?: number): Promise<void> {
  await admin.query(
    `select setval(ledger.cursor($1, slot), coalesce($2::bigint, (select last_value from ledger.positions))) from generate_series(0, 15) as slot`,
    [consumer, position ?? null],
  );
}

/** Until the worker has nothing to do any more: what it holds then is no slot. */
export async function isQuiet(admin: Pool): Promise<void> {
  const quiet = async () => {
    const { rows } = await admin.query<{ busy: boolean }>(
      `select ledger.is_behind('webhooks', p.last_value) or ledger.is_behind('jobs', p.last_value)
         or (select sum(entries_behind) from ledger.lag()) > 0 or exists (select from webhook.deliveries where status = 'pending') as busy from ledger.positions as p`,
    );
    return rows[0]?.busy === false;
  };
  if (!(await until(quiet, { timeoutMs: 120_000, intervalMs: 100 }))) throw new Error('the worker is not done');
  await delay(300); // it looks a few times more before it sleeps
}
