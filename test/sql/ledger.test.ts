import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createPool, type Pool } from '../../functions/database.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let acme: string;
let writers: pg.PoolClient[];
let worker: Pool;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  worker = createPool(stack.database.worker, 'test-worker');
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  acme = await stack.token({ tenant: 't_acme', user: 'owner', role: 'owner' });
});

afterAll(async () => {
  await worker?.end();
  await stack?.stop();
});

beforeEach(async () => {
  await take();
});

/** A transaction sealed for acme, left open. */
async function writer(): Promise<pg.PoolClient> {
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [acme]);
  await client.query('set local role tenant_user');
  writers.push(client);
  return client;
}

const submit = (client: pg.PoolClient, key: string) =>
  client.query(`insert into v1.jobs (type, idempotency_key) values ('csv.validate', $1)`, [key]);

/** What the worker takes, in a transaction of its own and then moving the cursors, as it does. */
async function takeEntries() {
  const client = await worker.connect();
  try {
    const { rows } = await client.query(`select * from ledger.take('jobs', 16, 1000)`);
    const reached = new Map(rows.map((row) => [row.slot, row.upto_position]));
    await client.query(`select ledger.advance('jobs', $1, $2)`, [[...reached.keys()], [...reached.values()]]);
    return rows.filter((row) => row.position !== null);
  } finally {
    client.release();
  }
}

const take = async () =>
  (await takeEntries()).map((row) => (row.new ?? row.old).idempotency_key ?? (row.new ?? row.old).name);

async function withWriters(work: () => Promise<void>) {
  writers = [];
  try {
    await work();
  } finally {
    for (const client of writers) {
      await client.query('rollback');
      client.release();
    }
  }
}

test('hands over committed entries once, in order', () =>
  withWriters(async () => {
    const a = await writer();
    for (const key of ['one', 'two', 'three']) await submit(a, key);
    await a.query('commit');
    expect(await take()).toEqual(['one', 'two', 'three']);
    expect(await take()).toEqual([]);
  }));

test('hands over nothing that was rolled back', () =>
  withWriters(async () => {
    const a = await writer();
    await submit(a, 'phantom');
    await a.query('rollback');
    expect(await take()).toEqual([]);
  }));

test('takes again what was taken in a transaction that was rolled back', () =>
  withWriters(async () => {
    const a = await writer();
    await submit(a, 'again');
    await a.query('commit');
    const dispatcher = await worker.connect();
    await dispatcher.query('begin');
    const taken = await dispatcher.query(`select from ledger.take('jobs', 16, 10) where position is not null`);
    expect(taken.rowCount).toBe(1);
    await dispatcher.query('rollback');
    expect(await take()).toEqual([]);
    await dispatcher.query(`select ledger.release('jobs')`);
    dispatcher.release();
    expect(await take()).toEqual(['again']);
  }));

test('holds a later entry back until an earlier writer of its slot has ended', () =>
  withWriters(async () => {
    const early = await writer();
    const late = await writer();
    await submit(early, 'first');
    await submit(late, 'second');
    await late.query('commit');
    expect(await take()).toEqual([]);
    await early.query('commit');
    expect(await take()).toEqual(['first', 'second']);
  }));

test('keeps the order in which rows were locked, though a lower transaction id writes later and a third is still running', () =>
  withWriters(async () => {
    const setup = await writer();
    await setup.query(`insert into v1.files (name, content_type, size) values ('name 0', 'text/csv', 1)`);
    await setup.query('commit');
    expect(await take()).toEqual(['name 0']);

    const lower = await writer();
    await lower.query('select pg_current_xact_id()');
    const bystander = await writer();
    await bystander.query('select pg_current_xact_id()');
    const higher = await writer();
    await higher.query(`update v1.files set name = 'name 1'`);
    await higher.query('commit');
    await lower.query(`update v1.files set name = 'name 2'`);
    const bounded = await take();
    await lower.query('commit');
    expect([...bounded, ...(await take())]).toEqual(['name 1', 'name 2']);
    await bystander.query('commit');
  }));

test('is not held back by an unfinished writer of a tenant in another slot, nor by an old snapshot', () =>
  withWriters(async () => {
    const globex = await stack.token({ tenant: 't_globex', user: 'owner', role: 'owner' });
    const { rows } = await stack.migrator.query(`select ledger.slot('t_acme') <> ledger.slot('t_globex') as apart`);
    expect(rows[0].apart).toBe(true);
    const other = await stack.admin.connect();
    writers.push(other);
    await other.query('begin');
    await other.query('select auth.enter($1)', [globex]);
    await other.query('set local role tenant_user');
    await submit(other, 'unfinished');
    const reader = await stack.admin.connect();
    writers.push(reader);
    await reader.query('begin isolation level repeatable read');
    await reader.query('select pg_current_xact_id(), count(*) from ledger.entries');
    const a = await writer();
    await submit(a, 'not held back');
    await a.query('commit');
    expect(await take()).toEqual(['not held back']);
  }));

test('lets a sleeper sleep only when nothing is pending or being written, and wakes it', () =>
  withWriters(async () => {
    const sleeper = await worker.connect();
    try {
      const doze = async () => (await sleeper.query(`select ledger.doze('jobs') as asleep`)).rows[0].asleep;
      const a = await writer();
      await submit(a, 'pending');
      expect(await doze()).toBe(false);
      await a.query('commit');
      expect(await doze()).toBe(false);
      expect(await take()).toEqual(['pending']);
      let woken = false;
      sleeper.on('notification', () => {
        woken = true;
      });
      await sleeper.query('listen ledger_wake');
      expect(await doze()).toBe(true);
      const b = await writer();
      await submit(b, 'wakes');
      await b.query('commit');
      await expect.poll(() => woken, { timeout: 5000 }).toBe(true);
      expect((await sleeper.query('select ledger.rouse() as held')).rows).toEqual([{ held: true }]);
    } finally {
      sleeper.release(true);
    }
  }));

test('says who, what and where, with the row before and after', () =>
  withWriters(async () => {
    const a = await writer();
    await a.query(`select set_config('request.headers', $1, true)`, [
      JSON.stringify({
        authorization: `Bearer ${acme}`,
        'user-agent': 'curl/8',
        'x-request-id': 'req-1',
        'x-forwarded-for': '198.51.100.7, 203.0.113.9',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      }),
    ]);
    await a.query(`insert into v1.files (name, content_type, size) values ('before', 'text/csv', 1)`);
    await a.query(`update v1.files set name = 'after' where name = 'before'`);
    await a.query(`delete from v1.files where name = 'after'`);
    await a.query('commit');
    const { rows } = await stack.admin.query(`
      select operation, changed, old ->> 'name' as old, new ->> 'name' as new, subject, role, host(address) as address, user_agent,
        request_id, trace_id, tenant_id, row_id = coalesce(old, new) ->> 'id' as keyed
      from ledger.entries where request_id = 'req-1' order by position`);
    const common = {
      subject: 'owner',
      role: 'tenant_user',
      address: '203.0.113.9',
      user_agent: 'curl/8',
      request_id: 'req-1',
      trace_id: '0af7651916cd43dd8448eb211c80319c',
      tenant_id: 't_acme',
      keyed: true,
    };
    expect(rows).toEqual([
      { operation: 'insert', changed: null, old: null, new: 'before', ...common },
      {
        operation: 'update',
        changed: ['name'],
        old: 'before',
        new: 'after',
        ...common,
      },
      { operation: 'delete', changed: null, old: 'after', new: null, ...common },
    ]);
  }));

test.each(['tenant_user', 'operator', 'rowhouse_worker', 'rowhouse_edge'])(
  'cannot be written by %s, sealed or not',
  async (role) => {
    const client = await stack.admin.connect();
    try {
      for (const sql of [
        `insert into ledger.entries (tenant_id, table_name, operation, row_id) values ('t_acme', 'app.jobs', 'insert', 'x')`,
        'update ledger.entries set subject = null',
        'delete from ledger.entries',
        'truncate ledger.entries',
      ]) {
        await client.query('begin');
        await client.query('select auth.enter($1)', [acme]);
        await client.query(`set local role ${role}`);
        await expect(client.query(sql)).rejects.toMatchObject({ code: '42501' });
        await client.query('rollback');
      }
    } finally {
      client.release();
    }
  },
);

test('cannot be changed, deleted or truncated even by its owner', async () => {
  for (const sql of [
    'update ledger.entries set subject = null',
    'delete from ledger.entries',
    'truncate ledger.entries',
  ]) {
    await expect(stack.migrator.query(sql)).rejects.toMatchObject({ code: '42501' });
  }
});

test('is read across tenants by the dispatcher’s functions alone: not by its owner, and by the worker only for its tables', async () => {
  await stack.migrator.query(
    `insert into tenancy.members (tenant_id, user_id, role) values ('t_globex', 'new', 'viewer')`,
  );
  expect(await takeEntries()).toEqual([]);
  expect((await stack.migrator.query('select * from ledger.entries')).rows).toEqual([]);
  const { rows } = await worker.query(`select has_any_column_privilege('ledger.entries', 'select') as may_read`);
  expect(rows).toEqual([{ may_read: false }]);
});

test('is not dispatched from an older snapshot, which would pass entries over', async () => {
  const client = await worker.connect();
  await client.query('begin isolation level repeatable read');
  await expect(client.query(`select * from ledger.take('jobs', 16, 10)`)).rejects.toMatchObject({ code: '25001' });
  await client.query('rollback');
  client.release();
});

test('tells rows apart whose keys look alike when they are joined', async () => {
  await stack.migrator.query(`
    create table app.pairs (
      tenant_id tenancy.tenant_id not null, a text not null, b text not null, v integer not null default 0,
      constraint pairs_pkey primary key (tenant_id, a, b)
    ) partition by hash (tenant_id);
    select tenancy.protect('app.pairs', partitions => 2, expose => true)`);
  await withWriters(async () => {
    const a = await writer();
    await a.query(`insert into v1.pairs (a, b) values ('x,y', 'z'), ('x', 'y,z')`);
    await a.query('update v1.pairs set v = v + 1');
    await a.query('commit');
  });
  const { rows } = await stack.admin.query(
    `select operation, row_id, changed from ledger.entries where table_name = 'app.pairs' order by operation, row_id`,
  );
  expect(rows).toEqual([
    { operation: 'insert', row_id: '["x", "y,z"]', changed: null },
    { operation: 'insert', row_id: '["x,y", "z"]', changed: null },
    { operation: 'update', row_id: '["x", "y,z"]', changed: ['v'] },
    { operation: 'update', row_id: '["x,y", "z"]', changed: ['v'] },
  ]);
});

test('says whole rows of a table whose columns have the names that the trigger uses', async () => {
  await stack.migrator.query(`
    create table app.named (
      tenant_id tenancy.tenant_id not null, id integer not null, n text, r text, body text, source text, slot text, origin text,
      tenant_column text, key_columns text, new_rows text, many text, called text, first text, entries text, record text, tg_argv text,
      constraint named_pkey primary key (tenant_id, id)
    ) partition by hash (tenant_id);
    select tenancy.protect('app.named', partitions => 2, expose => true)`);
  await withWriters(async () => {
    const a = await writer();
    await a.query(`insert into v1.named (id, n, r, key_columns) values (1, 'n', 'r', '{n}'), (2, 'n', 'r', '{n}')`);
    await a.query(`update v1.named set tenant_column = 'n' where id = 1`);
    await a.query(`delete from v1.named where id = 2`);
    await a.query('commit');
  });
  const { rows } = await stack.admin.query(`
    select tenant_id, operation, row_id, changed, old ->> 'r' as old, new ->> 'r' as new
    from ledger.entries where table_name = 'app.named' order by position`);
  expect(rows).toEqual([
    { tenant_id: 't_acme', operation: 'insert', row_id: '1', changed: null, old: null, new: 'r' },
    { tenant_id: 't_acme', operation: 'insert', row_id: '2', changed: null, old: null, new: 'r' },
    { tenant_id: 't_acme', operation: 'update', row_id: '1', changed: ['tenant_column'], old: 'r', new: 'r' },
    { tenant_id: 't_acme', operation: 'delete', row_id: '2', changed: null, old: 'r', new: null },
  ]);
});

test('says of a row whose key or tenant changed that one was deleted and another inserted', async () => {
  await stack.migrator.query(`
    insert into tenancy.members (tenant_id, user_id, role) values ('t_acme', 'first', 'viewer'), ('t_acme', 'moves', 'viewer')`);
  await stack.migrator.query(`
    update tenancy.members set user_id = case user_id when 'first' then 'second' else user_id end,
      tenant_id = case user_id when 'moves' then 't_globex' else tenant_id end::tenancy.tenant_id
    where user_id in ('first', 'moves')`);
  const { rows } = await stack.admin.query(`
    select tenant_id, operation, row_id from ledger.entries
    where table_name = 'tenancy.members' and row_id in ('first', 'second', 'moves')
    order by row_id, position`);
  expect(rows.filter(({ row_id }) => row_id !== 'moves')).toEqual([
    { tenant_id: 't_acme', operation: 'insert', row_id: 'first' },
    { tenant_id: 't_acme', operation: 'delete', row_id: 'first' },
    { tenant_id: 't_acme', operation: 'insert', row_id: 'second' },
  ]);
  expect(rows.filter(({ row_id }) => row_id === 'moves')).toEqual(
    expect.arrayContaining([
      { tenant_id: 't_acme', operation: 'insert', row_id: 'moves' },
      { tenant_id: 't_acme', operation: 'delete', row_id: 'moves' },
      { tenant_id: 't_globex', operation: 'insert', row_id: 'moves' },
    ]),
  );
});

test('follows the directory itself, whose tenant is called id, and puts each entry into its tenant’s slot', async () => {
  await stack.createTenant('t_initech');
  await stack.migrator.query(`update tenancy.tenants set name = 'Renamed' where id = 't_initech'`);
  const { rows } = await stack.admin.query(`
    select tenant_id, operation, row_id, changed from ledger.entries
    where table_name = 'tenancy.tenants' and row_id = 't_initech' order by position`);
  expect(rows).toEqual([
    { tenant_id: 't_initech', operation: 'insert', row_id: 't_initech', changed: null },
    { tenant_id: 't_initech', operation: 'update', row_id: 't_initech', changed: ['name', 'updated_at'] },
  ]);
  const { rows: slots } = await stack.admin.query(`
    select count(distinct slot) > 1 as several, count(*) filter (where slot <> ledger.slot(tenant_id))::int as wrong from ledger.entries`);
  expect(slots).toEqual([{ several: true, wrong: 0 }]);
});

test('holds back every tenant of a statement that writes for several', () =>
  withWriters(async () => {
    const { rows } = await stack.migrator.query(`select ledger.slot('t_acme') <> ledger.slot('t_globex') as apart`);
    expect(rows[0].apart).toBe(true);
    const globex = await stack.token({ tenant: 't_globex', user: 'owner', role: 'owner' });
    const both = await stack.admin.connect();
    writers.push(both);
    await both.query('begin; set local role rowhouse_owner');
    await both.query(
      `insert into tenancy.members (tenant_id, user_id, role) values ('t_acme', 'both', 'viewer'), ('t_globex', 'both', 'viewer')`,
    );
    const a = await writer();
    await submit(a, 'of acme');
    await a.query('commit');
    const b = await stack.admin.connect();
    writers.push(b);
    await b.query('begin');
    await b.query('select auth.enter($1)', [globex]);
    await b.query('set local role tenant_user');
    await submit(b, 'of globex');
    await b.query('commit');
    expect(await take()).toEqual([]);
    await both.query('commit');
    expect((await take()).sort()).toEqual(['of acme', 'of globex']);
  }));
