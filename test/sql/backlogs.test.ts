import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createPool, type Pool } from '../../functions/database.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// Tenants with more than a batch are set aside, so that nobody in their slot waits for them. No worker: each step is the test's.

const LARGE = 't_large';
/** Of a batch. */
const MOST = 10;

let stack: TestStack;
let worker: Pool;
/** Of the same slot as the large one. */
let small: string;
let consumer: string;
let consumers = 0;
const sessions: pg.PoolClient[] = [];

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  worker = createPool(stack.database.worker, 'test-worker');
  const { rows } = await stack.admin.query<{ id: string }>(
    `select 't_small_' || n as id from generate_series(1, 200) as n where ledger.slot('t_small_' || n) = ledger.slot($1) limit 1`,
    [LARGE],
  );
  small = rows[0]?.id ?? expect.fail('no tenant has that slot');
  for (const tenant of [LARGE, small]) await stack.createTenant(tenant);
});

afterAll(async () => {
  await worker?.end();
  await stack?.stop();
});

beforeEach(async () => {
  consumers += 1;
  consumer = `aside_${consumers}`;
  await stack.migrator.query(`select ledger.add_consumer($1, '{app.files}')`, [consumer]);
});

afterEach(async () => {
  for (const client of sessions.splice(0)) client.release(true);
  await stack.migrator.query('select ledger.remove_consumer($1)', [consumer]);
});

async function session(): Promise<pg.PoolClient> {
  const client = await worker.connect();
  client.on('error', () => {}); // a test may end it
  sessions.push(client);
  return client;
}

/** Of one statement, named by number. */
async function write(tenant: string, from: number, to = from): Promise<void> {
  await stack.admin.query(
    `insert into app.files (tenant_id, name, content_type, size, created_by)
     select $1, n::text, 'text/csv', 1, 'test' from generate_series($2::int, $3::int) as n`,
    [tenant, from, to],
  );
}

interface Taken {
  slot: number;
  upto_position: string;
  has_backlogs: boolean;
  position: string | null;
  tenant_id: string;
  new: { name: string };
}

const of = (tenant: string, rows: Taken[]) =>
  rows.filter((row) => row.position !== null && row.tenant_id === tenant).map((row) => Number(row.new.name));

/** A round of a worker, committed. */
async function round(client: pg.PoolClient): Promise<Taken[]> {
  const { rows } = await client.query<Taken>('select * from ledger.take($1, 16, $2)', [consumer, MOST]);
  const reached = new Map(rows.map(({ slot, upto_position }) => [slot, upto_position]));
  await client.query('select ledger.advance($1, $2, $3)', [consumer, [...reached.keys()], [...reached.values()]]);
  return rows;
}

const takeBacklogs = async (client: pg.PoolClient): Promise<Taken[]> =>
  (await client.query<Taken>('select * from ledger.take_backlogs($1, 4, $2)', [consumer, MOST])).rows;

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, nth) => from + nth);
const backlogs = async () =>
  (await stack.admin.query('select tenant_id from ledger.backlogs where consumer = $1', [consumer])).rows.map(
    (row) => row.tenant_id,
  );
const behind = async () =>
  (
    await stack.migrator.query(
      `select sum(entries_behind)::int as entries, max(seconds_behind)::float8 as seconds from ledger.lag() where consumer = $1`,
      [consumer],
    )
  ).rows[0];

describe('a tenant with more than a batch', () => {
  test('is set aside, and its neighbour’s entry of the same slot comes with the first round', async () => {
    const client = await session();
    await write(LARGE, 1, 150);
    await write(small, 1);
    const rows = await round(client);
    expect(of(small, rows)).toEqual([1]);
    expect(of(LARGE, rows)).toEqual([]);
    expect(rows.every(({ has_backlogs }) => has_backlogs)).toBe(true);
    expect(await backlogs()).toEqual([LARGE]);
  });

  test('gets everything in order, each once, while its neighbour goes on, and is like any other then', async () => {
    const client = await session();
    await write(LARGE, 1, 150);
    const handed: number[] = [];
    for (let nth = 1; nth <= 30; nth += 1) {
      await write(small, nth);
      if (nth === 10) await write(LARGE, 151, 155);
      const rows = await round(client);
      expect(of(small, rows)).toEqual([nth]);
      handed.push(...of(LARGE, rows), ...of(LARGE, await takeBacklogs(client)));
    }
    expect(handed).toEqual(numbers(1, 155));
    expect(await takeBacklogs(client)).toEqual([]);
    await write(LARGE, 156);
    expect(of(LARGE, await round(client))).toEqual([156]);
    expect(await backlogs()).toEqual([]);
  });

  test('is not set aside by what the consumer does not want', async () => {
    const client = await session();
    await stack.admin.query(
      `insert into ledger.entries (tenant_id, slot, table_name, operation, new)
       select $1::text, ledger.slot($1::text), 'app.other', 'insert', '{}' from generate_series(1, 200)`,
      [LARGE],
    );
    await write(LARGE, 1, MOST);
    for (let nth = 0; nth < 2; nth += 1) await round(client);
    expect(await backlogs()).toEqual([]);
    expect((await behind()).entries).toBe(0);
  });

  test('is counted as behind from the first of its entries on, though the slot is not', async () => {
    const client = await session();
    await write(LARGE, 1, 50);
    await round(client);
    const { entries, seconds } = await behind();
    expect(entries).toBe(50);
    expect(seconds).toBeGreaterThan(0);
    await takeBacklogs(client);
    expect((await behind()).entries).toBe(40);
    while ((await takeBacklogs(client)).length > 0);
    expect(await behind()).toEqual({ entries: 0, seconds: null });
  });

  test('that is deleted meanwhile has what it left handed over', async () => {
    const gone = await stack.admin.query<{ id: string }>(
      `select 't_gone_' || n as id from generate_series(1, 200) as n where ledger.slot('t_gone_' || n) = ledger.slot($1) limit 1`,
      [LARGE],
    );
    const tenant = gone.rows[0]?.id ?? expect.fail();
    await stack.createTenant(tenant);
    const client = await session();
    await write(tenant, 1, 30);
    await round(client);
    expect(await backlogs()).toEqual([tenant]);
    await stack.admin.query('delete from tenancy.tenants where id = $1', [tenant]);
    const handed: number[] = [];
    for (let rows = await takeBacklogs(client); rows.length > 0; rows = await takeBacklogs(client)) {
      handed.push(...rows.filter(({ position, new: row }) => position && row).map(({ new: row }) => Number(row.name)));
    }
    expect(handed.slice(0, 30)).toEqual(numbers(1, 30));
  });
});

describe('a backlog', () => {
  test('of which a transaction that failed had some is where it was', async () => {
    const client = await session();
    await write(LARGE, 1, 30);
    await round(client);
    await client.query('begin');
    expect(of(LARGE, await takeBacklogs(client))).toEqual(numbers(1, 10));
    await client.query('rollback');
    expect(of(LARGE, await takeBacklogs(client))).toEqual(numbers(1, 10));
    expect(of(LARGE, await takeBacklogs(client))).toEqual(numbers(11, 20));
  });

  test('is handed over by one worker at a time, and stays one while the slot’s cursor passes it', async () => {
    const [one, other] = [await session(), await session()];
    await write(LARGE, 1, 20);
    await round(one);
    await one.query('begin');
    expect(of(LARGE, await takeBacklogs(one))).toEqual(numbers(1, 10));
    expect(await takeBacklogs(other)).toEqual([]);
    await write(LARGE, 21);
    await write(small, 1);
    const rows = await round(other);
    expect(of(small, rows)).toEqual([1]);
    expect(of(LARGE, rows)).toEqual([]);
    await one.query('commit');
    expect(of(LARGE, await takeBacklogs(other))).toEqual(numbers(11, 20));
    expect(of(LARGE, await takeBacklogs(other))).toEqual([21]);
  });

  test('of a consumer that is moved back is handed over again, whether it was before the position or behind', async () => {
    const client = await session();
    const { rows: begun } = await stack.admin.query('select last_value as at from ledger.positions');
    await write(LARGE, 1, 30);
    await round(client);
    expect(of(LARGE, await takeBacklogs(client))).toEqual(numbers(1, 10));
    await stack.migrator.query('select ledger.rewind($1, $2)', [consumer, begun[0].at]);
    const again: number[] = [];
    for (let nth = 0; nth < 6; nth += 1)
      again.push(...of(LARGE, await round(client)), ...of(LARGE, await takeBacklogs(client)));
    expect(again).toEqual(numbers(1, 30));

    await write(LARGE, 31, 60);
    await round(client);
    const { rows: now } = await stack.admin.query('select last_value as at from ledger.positions');
    await stack.migrator.query('select ledger.rewind($1, $2)', [consumer, now[0].at]);
    const rest: number[] = [];
    for (let nth = 0; nth < 6; nth += 1)
      rest.push(...of(LARGE, await round(client)), ...of(LARGE, await takeBacklogs(client)));
    expect(rest).toEqual(numbers(31, 60));
  });

  test('goes with its consumer', async () => {
    const client = await session();
    await write(LARGE, 1, 30);
    await round(client);
    expect(await backlogs()).toEqual([LARGE]);
    await stack.migrator.query('select ledger.remove_consumer($1)', [consumer]);
    expect(await backlogs()).toEqual([]);
  });
});
