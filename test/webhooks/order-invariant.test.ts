import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';

/** What sql/webhook/deliveries.sql says of ordering keys, after transactions in any order, some of them beside each other. */

const TENANT = 't_acme';
const SUBJECTS = ['a', 'b', 'c'];

interface Row {
  kind: string;
  endpoint_id: string;
  detail: { generation?: number; watermark?: number } | null;
  position: string | null;
  attempts: number;
  ordering_key: string | null;
  retried: boolean;
  blocked: boolean;
}

/** An attempt that the worker has begun. */
interface Flight {
  endpoint: string;
  position: number;
  attempt: number;
  key: string;
}

let stack: TestStack;
let token: string;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant(TENANT);
  token = await stack.token({ tenant: TENANT, role: 'admin' });
});

/** Transactions that a test has left open. */
const open = new Set<pg.PoolClient>();

afterAll(() => stack?.stop());

afterEach(async () => {
  for (const client of open) await close(client, 'rollback');
});

beforeEach(async () => {
  await stack.admin.query('delete from webhook.endpoints');
  await stack.admin.query('select webhook.purge_orphans()');
  await dispatch();
});

/** Repeatable: the mulberry32 generator. */
function generator(seed: number) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (most: number) => Math.floor(next() * most);
  const oneOf = <Item>(items: readonly Item[]): Item => items[below(items.length)] as Item;
  return { below, oneOf, chance: (of: number) => next() < of };
}

async function makeEndpoint(ordering: string): Promise<string> {
  const { rows } = await stack.admin.query<{ id: string }>(
    `with made as (
       insert into webhook.endpoints (tenant_id, url, event_types, ordering)
       values ($1, 'https://hooks.example.com/', '{order.*}', $2) returning tenant_id, id
     ) insert into webhook.endpoint_states (tenant_id, endpoint_id) select tenant_id, id from made returning endpoint_id as id`,
    [TENANT, ordering],
  );
  return rows[0]?.id ?? '';
}

async function asTenant(sql: string, values: unknown[]): Promise<void> {
  const client = await stack.admin.connect();
  try {
    await client.query('begin');
    await client.query('select auth.enter($1)', [token]);
    await client.query(sql, values);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
}

const emit = (subject: string | null) => asTenant(`select v1.emit_event('order.event', $1, '{}')`, [subject]);
const enable = (id: string, enabled: boolean) =>
  asTenant('update webhook.endpoints set enabled = $2 where id = $1', [id, enabled]);

async function dispatch(): Promise<void> {
  const client = await stack.admin.connect();
  const { rows } = await client.query('select slot, position from webhook.dispatch(16, 100) where slot is not null');
  await client.query(`select ledger.advance('webhooks', $1, $2)`, [
    rows.map(({ slot }) => slot),
    rows.map(({ position }) => position),
  ]);
  client.release();
}

/** What must not be; empty if all is well. */
async function broken(): Promise<object[]> {
  const { rows } = await stack.admin.query(`
    select 'fresh below the watermark' as what, d.position, d.ordering_key from webhook.deliveries d
    join webhook.endpoint_states s using (tenant_id, endpoint_id)
    where d.status = 'pending' and d.next_attempt_at is null and d.position <= s.watermark
    union all
    select 'fresh before one that is due or blocked', d.position, d.ordering_key from webhook.deliveries d
    where d.status = 'pending' and d.next_attempt_at is null and d.ordering_key is not null and exists (
      select from webhook.deliveries l where (l.tenant_id, l.endpoint_id, l.ordering_key) = (d.tenant_id, d.endpoint_id, d.ordering_key)
        and l.position > d.position and l.next_attempt_at is not null)
    union all
    select 'blocked by none', d.position, d.ordering_key from webhook.deliveries d
    where d.next_attempt_at = 'infinity' and not exists (
      select from webhook.deliveries l where (l.tenant_id, l.endpoint_id, l.ordering_key) = (d.tenant_id, d.endpoint_id, d.ordering_key)
        and l.position < d.position and l.next_attempt_at is not null)`);
  return rows;
}

const pending = async (): Promise<number> =>
  (await stack.admin.query(`select from webhook.deliveries where status = 'pending'`)).rows.length;

/** One that does what the engine does, and can be stopped between any two steps. */
async function startWorker() {
  const client = await stack.admin.connect();
  open.add(client);
  let flights: Flight[] = [];

  async function passedOver({ endpoint, position, key }: Flight): Promise<number[]> {
    const { rows } = await stack.admin.query<{ position: string }>(
      `select position from webhook.deliveries
       where tenant_id = $1 and endpoint_id = $2 and ordering_key = $3 and position < $4 and status = 'pending'`,
      [TENANT, endpoint, key, position],
    );
    return rows.map((row) => Number(row.position));
  }

  /** @returns false where a replay has any of it, which is no reason to wait: again, later */
  async function record(ended: object[], parked: object[], freed: object[], states: object[]): Promise<boolean> {
    const values = [ended, parked, freed, states].map((part) => JSON.stringify(part));
    try {
      await client.query('select webhook.record($1, $2, $3, $4)', values);
      return true;
    } catch (error) {
      if ((error as { code?: string }).code !== '55P03') throw error;
      return false;
    }
  }

  return {
    /** Reads what is due of an endpoint, begins the first of each order, and sets aside what is blocked. */
    async claim(endpoint: string): Promise<void> {
      const ask = { tenant: TENANT, id: endpoint, version: 0, watermark: 0, rows: 64, fresh: true };
      const { rows } = await client.query<Row>('select * from webhook.claim($1, $2)', [[], JSON.stringify([ask])]);
      const described = rows.find(({ kind }) => kind === 'endpoint')?.detail;
      if (!described) return;
      const deliveries = rows.filter(({ kind }) => kind === 'delivery');
      deliveries.sort((a, b) => Number(a.position) - Number(b.position));
      const parked: object[] = [];
      let watermark: number | undefined;
      for (const { position: at, attempts, ordering_key: key, retried, blocked } of deliveries) {
        const position = Number(at);
        const busy = flights.some((flight) => flight.endpoint === endpoint && flight.key === key);
        if (!retried && blocked) parked.push({ t: TENANT, e: endpoint, p: position });
        else {
          if (!retried) watermark ??= position - 1;
          if (busy) continue;
          const flight = { endpoint, position, attempt: attempts + 1, key: key ?? '' };
          expect([flight, await passedOver(flight)]).toEqual([flight, []]);
          flights.push(flight);
        }
      }
      const state = {
        generation: described.generation,
        watermark: watermark ?? 0,
        circuit: 'closed',
        opened: 0,
        failures: 0,
      };
      await record([], parked, [], [{ t: TENANT, e: endpoint, ...state }]);
    },

    /** What is under way comes to an end. @param how of each */
    async end(how: (flight: Flight) => 'succeeded' | 'pending' | 'dead'): Promise<void> {
      const ending = flights;
      flights = [];
      const at = Date.now();
      for (const flight of ending) {
        const { endpoint: e, position: p, attempt, key: k } = flight;
        const status = how(flight);
        const result = {
          t: TENANT,
          e,
          p,
          attempt,
          status,
          latency: 1,
          at,
          next_at: status === 'pending' ? at - 1 : null,
        };
        const freed = status === 'pending' ? [] : [{ t: TENANT, e, k }];
        if (!(await record([result], [], freed, []))) flights.push(flight);
      }
    },

    underWay: () => flights.length,
  };
}

type Worker = Awaited<ReturnType<typeof startWorker>>;

/** Delivers everything; up to a bound. */
async function drain(worker: Worker, endpoints: string[]): Promise<void> {
  for (let round = 0; round < 2000; round += 1) {
    await dispatch();
    for (const id of endpoints) await worker.claim(id);
    await worker.end(() => 'succeeded');
    if (worker.underWay() === 0 && (await pending()) === 0) return;
  }
}

/** A transaction that replays, and is left open. */
async function openReplay(endpoint: string, from: number, to: number): Promise<pg.PoolClient | undefined> {
  const client = await stack.admin.connect();
  try {
    await client.query(`begin; set local lock_timeout = '100ms'`);
    await client.query('select webhook.replay($1, $2, $3, $4)', [TENANT, endpoint, from, to]);
    open.add(client);
    return client;
  } catch (error) {
    await client.query('rollback');
    client.release();
    if ((error as { code?: string }).code !== '55P03') throw error;
    return undefined;
  }
}

async function close(client: pg.PoolClient, how: 'commit' | 'rollback'): Promise<void> {
  open.delete(client);
  await client.query(how);
  client.release();
}

test.each(Array.from({ length: 8 }, (_, n) => n + 1))(
  'holds whatever happens, and everything is delivered (%i)',
  async (seed) => {
    const { below, oneOf, chance } = generator(seed);
    const endpoints = [await makeEndpoint('subject'), await makeEndpoint('endpoint')];
    const worker = await startWorker();
    const replays: pg.PoolClient[] = [];
    const { rows } = await stack.admin.query<{ drawn: string }>('select last_value as drawn from ledger.positions');
    const begin = Number(rows[0]?.drawn);
    let emitted = 0;
    const steps = {
      async emit() {
        for (let n = below(6); n >= 0; n -= 1, emitted += 1) await emit(chance(0.1) ? null : oneOf(SUBJECTS));
      },
      dispatch,
      claim: () => worker.claim(oneOf(endpoints)),
      end: () => worker.end(() => (chance(0.3) ? 'pending' : chance(0.1) ? 'dead' : 'succeeded')),
      async replay() {
        if (replays.length > 1) return;
        const from = begin + below(emitted + 5);
        const open = await openReplay(oneOf(endpoints), from, from + below(10));
        if (open) replays.push(open);
      },
      async close() {
        const [open] = replays.splice(below(replays.length), 1);
        if (open) await close(open, chance(0.9) ? 'commit' : 'rollback');
      },
      switch: () => enable(oneOf(endpoints), chance(0.6)).catch((error) => expect(error.code).toBe('55P03')),
    };
    const names = ['emit', 'dispatch', 'claim', 'claim', 'end', 'end', 'replay', 'close', 'switch'] as const;
    const taken: string[] = [];
    for (let step = 0; step < 150; step += 1) {
      const name = oneOf(names);
      // Whoever changes an endpoint waits for its replay.
      if (name === 'switch' && replays.length > 0) continue;
      taken.push(name);
      await steps[name]();
      expect([taken.slice(-10), await broken()]).toEqual([taken.slice(-10), []]);
    }
    for (const replay of replays) await close(replay, 'commit');
    for (const id of endpoints) await enable(id, true);
    await drain(worker, endpoints);
    expect(await pending()).toBe(0);
  },
);

test('frees by a look around what nobody else does', async () => {
  const id = await makeEndpoint('subject');
  for (let n = 0; n < 4; n += 1) await emit(SUBJECTS[n % 2] ?? null);
  await dispatch();
  await stack.admin.query(`update webhook.deliveries set next_attempt_at = 'infinity' where endpoint_id = $1`, [id]);
  expect(await broken()).toHaveLength(2);
  const free = async () => (await stack.admin.query('select webhook.free_stranded()::int as freed')).rows[0]?.freed;
  expect([await free(), await free()]).toEqual([2, 0]);
  expect(await broken()).toEqual([]);
});
