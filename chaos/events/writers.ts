import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { asTenant, type Pool } from '../../functions/database.ts';
import { keyOf, type Tenant, type Written } from './model.ts';
import { callAs, learnPublicKeys } from './world.ts';

const WRITERS = 16;
/** Held open for so long, a transaction holds back the events of its slot. */
const LONG_MS = [1000, 4000] as const;
const ANSWER_MS = 10_000;
const REFUSED_MS = 150;

interface Row {
  tenant: Tenant;
  id: string;
  version: number;
}

export interface WritersOptions {
  edge: string;
  postgrest: string;
  /** As an edge's: it takes the tenant's role. */
  pool: Pool;
  tenants: readonly Tenant[];
  /** Of events, acknowledged. */
  target: number;
}

const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T;

/** Writes at random, through edge, PostgREST and SQL, until so many events are acknowledged. */
export function startWriters({ edge, postgrest, pool, tenants, target }: WritersOptions) {
  const written: Written = { acknowledged: new Set(), rolledBack: new Set(), unknown: 0 };
  const isOver = () => written.acknowledged.size >= target;
  let longOnes = 0;

  function acknowledge(tenant: Tenant, type: string, subjects: readonly string[], version: number | null): void {
    for (const subject of subjects) written.acknowledged.add(keyOf(tenant.id, type, subject, version));
  }

  /** @returns whether it was answered with success; otherwise nobody knows */
  async function send(method: string, path: string, { token }: Tenant, body?: object): Promise<boolean> {
    const api = Math.random() < 0.6 ? `${edge}/v1` : postgrest;
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const init = { method, headers, signal: AbortSignal.timeout(ANSWER_MS) };
    let refused = '';
    try {
      const answer = await fetch(`${api}${path}`, body ? { ...init, body: JSON.stringify(body) } : init);
      const text = await answer.text();
      if (answer.ok) return true;
      // PostgREST itself answers 4xx with an empty code when its connection breaks, the edge 503; with any other, the run would be one of refusals.
      if (answer.status < 500 && !(api === postgrest && text.includes('"code":""')))
        refused = `${method} ${path} was answered ${answer.status}: ${text}`;
    } catch {
      // No answer.
    }
    if (refused !== '') throw new Error(refused);
    written.unknown += 1;
    await delay(Math.random() * REFUSED_MS);
    return false;
  }

  async function insert(tenant: Tenant, rows: Row[]): Promise<void> {
    const ids = Array.from({ length: rowCount() }, randomUUID);
    const body = ids.map((id) => ({ id, note: `reading ${id}` }));
    if (!(await send('POST', '/readings', tenant, ids.length === 1 ? body[0] : body))) return;
    acknowledge(tenant, 'app.readings.inserted', ids, 1);
    rows.push(...ids.map((id) => ({ tenant, id, version: 1 })));
  }

  async function update(rows: Row[]): Promise<void> {
    const row = pick(rows);
    const version = ++row.version;
    if (await send('PATCH', `/readings?id=eq.${row.id}`, row.tenant, { version }))
      acknowledge(row.tenant, 'app.readings.updated', [row.id], version);
    // A write without an answer may be carried out after the next one.
    else rows.splice(rows.indexOf(row), 1);
  }

  async function remove(rows: Row[]): Promise<void> {
    const [row] = rows.splice(Math.floor(Math.random() * rows.length), 1);
    if (!row) return;
    const { tenant, id, version } = row;
    if (await send('DELETE', `/readings?id=eq.${id}`, tenant))
      acknowledge(tenant, 'app.readings.deleted', [id], version);
  }

  async function emit(tenant: Tenant): Promise<void> {
    const subject = randomUUID();
    const type = pick(['chaos.ping', 'chaos.pong']);
    if (await send('POST', '/rpc/emit_event', tenant, { type, subject, data: { from: 'a writer' } }))
      acknowledge(tenant, type, [subject], null);
  }

  /** Several rows and an event in one transaction, which is committed or rolled back, at once or after a while. */
  async function transact(tenant: Tenant, rows: Row[]): Promise<void> {
    const ids = Array.from({ length: 1 + Math.floor(Math.random() * 6) }, randomUUID);
    const subject = randomUUID();
    const commits = Math.random() < 0.5;
    const long = longOnes < 3 && Math.random() < 0.15;
    longOnes += long ? 1 : 0;
    // Before anything: it may not be heard of, whatever happens.
    if (!commits) for (const id of [...ids, subject]) written.rolledBack.add(id);
    try {
      await asTenant(pool, tenant.token, 'tenant_user', async (client) => {
        await client.query('insert into v1.readings (id, note) select id, $2 from unnest($1::uuid[]) as id', [
          ids,
          'sql',
        ]);
        await client.query(`select v1.emit_event('chaos.ping', $1, '{"from": "sql"}')`, [subject]);
        if (long) await delay(LONG_MS[0] + Math.random() * (LONG_MS[1] - LONG_MS[0]));
        if (!commits) throw new Error('rolled back');
      });
      acknowledge(tenant, 'app.readings.inserted', ids, 1);
      acknowledge(tenant, 'chaos.ping', [subject], null);
      rows.push(...ids.map((id) => ({ tenant, id, version: 1 })));
    } catch (error) {
      if (commits) {
        written.unknown += 1;
        await delay(Math.random() * REFUSED_MS);
      } else if ((error as { code?: string }).code?.startsWith('42')) throw error;
    } finally {
      longOnes -= long ? 1 : 0;
    }
  }

  async function write(): Promise<void> {
    const rows: Row[] = [];
    while (!isOver()) {
      const kind = Math.random();
      const tenant = pick(tenants);
      if (kind < 0.12) await transact(tenant, rows);
      else if (kind < 0.24) await emit(tenant);
      else if (kind < 0.54 && rows.length > 0) await update(rows);
      else if (kind < 0.6 && rows.length > 0) await remove(rows);
      else await insert(tenant, rows);
    }
  }

  return { written, done: Promise.all(Array.from({ length: WRITERS }, write)) };
}

/** One row, or some; now and then more than a round hands over, so that their tenant is set aside. */
function rowCount(): number {
  const kind = Math.random();
  if (kind < 0.01) return 150 + Math.floor(Math.random() * 250);
  return kind < 0.7 ? 1 : 2 + Math.floor(Math.random() * 12);
}

/** New keys for each tenant's first endpoint; the old ones sign beside them for a day. */
export async function rotateSecrets(postgrest: string, tenants: readonly Tenant[]): Promise<void> {
  const rotated: Tenant[] = [];
  for (const tenant of tenants) {
    const [endpoint] = tenant.endpoints;
    const answer = await callAs(postgrest, tenant, 'rotate_webhook_secret', { id: endpoint?.id }).catch(
      () => undefined,
    );
    if (!answer?.ok) continue; // The one before goes on.
    endpoint?.secrets.push(((await answer.json()) as { secret: string }).secret);
    rotated.push(tenant);
  }
  await Promise.all(rotated.map((tenant) => learnPublicKeys(postgrest, tenant, 2)));
}
