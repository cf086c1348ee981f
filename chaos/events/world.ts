import { setTimeout as delay } from 'node:timers/promises';
import { createPool, type Pool } from '../../functions/database.ts';
import { until } from '../../functions/stack/until.ts';
import type { ChaosCluster } from '../cluster.ts';
import { type Endpoint, keyOf, type LedgerEvent, type Ordering, type Tenant } from './model.ts';
import type { Receivers } from './receivers.ts';

/** A table whose changes are events, and plans that hold nobody up. */
const SCHEMA = `
  create table app.readings (
    tenant_id tenancy.tenant_id not null,
    id uuid not null default uuidv7(),
    version bigint not null default 1,
    note text not null default '',
    constraint readings_pkey primary key (tenant_id, id)
  ) partition by hash (tenant_id);
  select tenancy.protect('app.readings', partitions => 4, expose => true);
  update tenancy.plans set read_rate = 1000000, read_burst = 1000000, write_rate = 1000000, write_burst = 1000000,
    expensive_rate = 1000000, expensive_burst = 1000000, request_concurrency = 32, queue_length = 1000;
  notify pgrst, 'reload schema'`;

/** Of each tenant; the last asks for what never happens. */
const WISHES: readonly { ordering: Ordering; types: string[] }[] = [
  { ordering: 'none', types: ['*'] },
  { ordering: 'endpoint', types: ['app.readings.*', 'chaos.*'] },
  { ordering: 'subject', types: ['app.*.inserted', 'app.*d', 'chaos.p*g'] },
  { ordering: 'none', types: ['app.jobs.*', 'app.readings'] },
];
/** Milliseconds that a receiver has for its answer. */
const TIMEOUT_MS = 2000;
/** A worker derives public keys once a second, while one runs. */
const PUBLISHED_MS = 60_000;

export interface World {
  tenants: Tenant[];
  /** What came before is not judged: the endpoints were being made. */
  since: number;
}

/** Tenants with their endpoints, made through PostgREST; a worker has to run, which says what key secrets are for. */
export async function populate(cluster: ChaosCluster, count: number, receivers: Receivers): Promise<World> {
  const pool = createPool(cluster.database.admin, 'chaos', 2);
  try {
    await pool.query(`set role rowhouse_owner; ${SCHEMA}; reset role`);
    const tenants: Tenant[] = [];
    for (let nth = 0; nth < count; nth++) {
      const id = `t_chaos${nth}`;
      await pool.query(`select tenancy.create_tenant($1, $2, 'Chaos', 'chaos')`, [id, id.replace('_', '-')]);
      const { rows } = await pool.query(`select auth.issue_token($1, 'chaos', 'owner', '2 hours') as token`, [id]);
      const tenant: Tenant = { id, token: rows[0].token, endpoints: [] };
      for (const [which, wish] of WISHES.entries()) {
        const place = nth * WISHES.length + which;
        const endpoint = await addEndpoint(cluster, tenant, wish, receivers.urlOf(place), which === 0);
        tenant.endpoints.push(endpoint);
        receivers.serve(place, endpoint);
      }
      tenants.push(tenant);
    }
    await Promise.all(tenants.map((tenant) => learnPublicKeys(cluster.postgrest, tenant, 1)));
    const settled = await until(() => isDispatched(pool), { timeoutMs: 60_000 });
    if (!settled) throw new Error('what happened before the run was not dispatched');
    const { rows } = await pool.query('select last_value::int8 as since from ledger.positions');
    return { tenants, since: Number(rows[0].since) };
  } finally {
    await pool.end();
  }
}

async function addEndpoint(
  { postgrest }: ChaosCluster,
  tenant: Tenant,
  { ordering, types }: (typeof WISHES)[number],
  url: string,
  both: boolean,
): Promise<Endpoint> {
  const wish = { url, ordering, event_types: types, timeout_ms: TIMEOUT_MS, signing: both ? ['v1', 'v1a'] : ['v1'] };
  const call = () => callAs(postgrest, tenant, 'create_webhook_endpoint', wish);
  let answer = await call();
  // Until a worker has registered its key, and PostgREST has loaded the schema.
  for (let tries = 0; tries < 150 && !answer.ok; tries++) {
    await delay(200);
    answer = await call();
  }
  if (!answer.ok) throw new Error(`an endpoint could not be made: ${await answer.text()}`);
  const { id, secret } = (await answer.json()) as { id: string; secret: string };
  return { tenant: tenant.id, id, ordering, types, secrets: [secret], publicKeys: [] };
}

/** What the receiver of a tenant's first endpoint verifies v1a with, as soon as there are so many keys. */
export async function learnPublicKeys(postgrest: string, { token, endpoints }: Tenant, count: number): Promise<void> {
  const [endpoint] = endpoints;
  if (!endpoint) return;
  const url = `${postgrest}/webhook_endpoints?id=eq.${endpoint.id}&select=public_keys`;
  const learn = async () => {
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    if (!answer.ok) return false;
    const [shown] = (await answer.json()) as { public_keys: string[] }[];
    if (shown?.public_keys.length !== count) return false;
    endpoint.publicKeys = shown.public_keys;
    return true;
  };
  // What it is asked of may have been killed.
  const learnt = await until(() => learn().catch(() => false), { timeoutMs: PUBLISHED_MS, intervalMs: 200 });
  if (!learnt) throw new Error(`${count} public keys of ${endpoint.id} were not published`);
}

export function callAs(postgrest: string, { token }: Tenant, name: string, body: object): Promise<Response> {
  return fetch(`${postgrest}/rpc/${name}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

/** Whether webhooks have been told of all that has been committed. */
export async function isDispatched(pool: Pool): Promise<boolean> {
  const { rows } = await pool.query<{ behind: boolean }>(
    `select ledger.is_behind('webhooks', (select last_value from ledger.positions))
       or (select sum(entries_behind) from ledger.lag() where consumer = 'webhooks') > 0 as behind`,
  );
  return rows[0]?.behind === false;
}

/** How many deliveries are not settled. */
export async function pendingDeliveries(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ pending: number }>(
    `select count(*)::int as pending from webhook.deliveries where status = 'pending'`,
  );
  return rows[0]?.pending ?? 0;
}

/** The events there are, of the ledger's own word. */
export async function readEvents(pool: Pool): Promise<LedgerEvent[]> {
  const { rows } = await pool.query<Omit<LedgerEvent, 'key' | 'position'> & { position: string; version: string }>(
    `select e.tenant_id as tenant, e.position, e.id, e.type, e.subject, e.read_role as role,
       coalesce(entry.new, entry.old) ->> 'version' as version
     from ledger.events as e
     join ledger.entries as entry on entry.tenant_id = e.tenant_id and entry.position = e.position
     order by e.position`,
  );
  return rows.map(({ version, ...event }) => ({
    ...event,
    position: Number(event.position),
    key: keyOf(event.tenant, event.type, event.subject ?? '', version === null ? null : Number(version)),
  }));
}
