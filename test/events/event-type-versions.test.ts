import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// An event says by its dataschema what its data looks like. That is about the data as it was written, whatever its type has become since.

interface Event {
  dataschema?: string;
  data: unknown;
}

let stack: TestStack;
const tokens: Record<string, string> = {};
let made = 0;

beforeAll(async () => {
  stack = await createTestStack();
  for (const tenant of ['t_acme', 't_globex']) {
    await stack.createTenant(tenant);
    tokens[tenant] = await stack.token({ tenant, role: 'member' });
  }
});

afterAll(() => stack?.stop());

const migrate = (sql: string) => stack.migrator.query(sql);
const declare = (type: string, schema: object) =>
  migrate(`select ledger.declare_event_type('${type}', 'An order was paid', '${JSON.stringify(schema)}')`);
const total = (type: string) => ({ type: 'object', properties: { total: { type } } });

async function emit(type: string, data: unknown, tenant = 't_acme'): Promise<void> {
  const { status } = await http(`${stack.postgrest}/rpc/emit_event`, {
    token: tokens[tenant] ?? '',
    body: { type, data },
  });
  expect(status).toBe(200);
}

/** Of the events of a type in order: their versions. Each has to fit the schema that it names, and to look the same to the dispatcher. */
async function versions(type: string, tenant = 't_acme'): Promise<(number | null)[]> {
  const token = tokens[tenant] ?? '';
  const { status, body } = await http<{ event: Event }[]>(
    `${stack.postgrest}/events?type=like.${type}*&order=position&select=event`,
    { token },
  );
  expect(status).toBe(200);
  const { rows } = await stack.admin.query<{ event: Event }>(
    'select event from ledger.events where tenant_id = $1 and type like $2 order by position',
    [tenant, `${type}%`],
  );
  expect(rows).toEqual(body);
  const found: (number | null)[] = [];
  for (const { event } of body) {
    const [, name, version] = /^rowhouse:\/v1\/event-types\/(.*)\/(\d+)$/.exec(event.dataschema ?? '') ?? [];
    found.push(version === undefined ? null : Number(version));
    if (version === undefined) continue;
    const listed = await http<{ schema: Parameters<typeof z.fromJSONSchema>[0] }[]>(
      `${stack.postgrest}/event_types?type=eq.${name}&version=eq.${version}`,
      { token },
    );
    const schema = z.fromJSONSchema(listed.body[0]?.schema ?? false);
    expect(schema.safeParse(event.data), JSON.stringify(event)).toMatchObject({ success: true });
  }
  return found;
}

describe('an emitted event', () => {
  test('is of the version that was declared when it was emitted, in each tenant', async () => {
    await declare('paid.order', total('string'));
    await emit('paid.order', { total: '12' });
    await emit('paid.order', { total: '7' }, 't_globex');
    await declare('paid.order', total('number'));
    await emit('paid.order', { total: 12 });
    await declare('paid.order', total('boolean'));
    await emit('paid.order', { total: true });
    expect(await versions('paid.order')).toEqual([1, 2, 3]);
    expect(await versions('paid.order', 't_globex')).toEqual([1]);
  });

  test('from before its type was declared is of none', async () => {
    await emit('early.order', { total: '12' });
    await declare('early.order', total('number'));
    await emit('early.order', { total: 12 });
    expect(await versions('early.order')).toEqual([null, 1]);
  });

  test('keeps its version where a property is no longer declared: nothing is taken from its data', async () => {
    await declare('kept.order', {
      ...total('number'),
      properties: { total: { type: 'number' }, note: { type: 'string' } },
    });
    await emit('kept.order', { total: 1, note: 'x' });
    await declare('kept.order', total('number'));
    await emit('kept.order', { total: 1 });
    expect(await versions('kept.order')).toEqual([1, 2]);
  });

  test('that commits after its type changed is of the version of before, if its position was drawn before', async () => {
    await declare('late.order', total('string'));
    const producer = await stack.admin.connect();
    await producer.query('begin');
    await producer.query(`select ledger.append_event('t_acme', 'late.order', null, '{"total": "12"}')`);
    await declare('late.order', total('number'));
    await emit('late.order', { total: 12 });
    await producer.query('commit');
    producer.release();
    expect(await versions('late.order')).toEqual([1, 2]);
  });
});

describe('an event of a table', () => {
  async function makeTable(): Promise<string> {
    made += 1;
    const table = `app.bills_${made}`;
    await migrate(`
      create table ${table} (tenant_id tenancy.tenant_id not null, id integer not null, total text, note text,
        constraint bills_${made}_pkey primary key (tenant_id, id)) partition by hash (tenant_id);
      select tenancy.protect('${table}', partitions => 1, expose => true)`);
    return table;
  }
  /** As a migration changes a column that its view shows. */
  const change = (table: string, what: string) =>
    `drop view ${table.replace('app.', 'v1.')}; alter table ${table} ${what}; select tenancy.protect('${table}', expose => true)`;
  const retyped = 'alter column total type integer using total::integer';
  const write = (table: string, id: number, tenant = 't_acme') =>
    stack.admin.query(`insert into ${table} (tenant_id, id, total) values ('${tenant}', ${id}, '${id}')`);

  test('is of the version that its columns had, in each tenant', async () => {
    const table = await makeTable();
    await write(table, 1);
    await write(table, 1, 't_globex');
    await migrate(change(table, retyped));
    await write(table, 2);
    await stack.admin.query(`update ${table} set total = total + 1 where id = 1`);
    expect(await versions(table)).toEqual([1, 2, 2]);
    expect(await versions(table, 't_globex')).toEqual([1, 2]);
  });

  test('is of the version after its own where a column was taken away, and taken from it as well', async () => {
    const table = await makeTable();
    await write(table, 1);
    await migrate(change(table, 'drop column note'));
    await write(table, 2);
    await migrate(change(table, retyped));
    await write(table, 3);
    await migrate(change(table, 'alter column total set not null'));
    await write(table, 4);
    expect(await versions(table)).toEqual([2, 2, 3, 4]);
    await migrate(change(table, 'add column paid boolean'));
    await migrate(change(table, 'drop column paid'));
    await write(table, 5);
    expect(await versions(table)).toEqual([2, 2, 3, 5, 5]);
  });

  test('that commits after its table is to change is of the version of before: the change waits for it', async () => {
    const table = await makeTable();
    const writer = await stack.admin.connect();
    await writer.query('begin');
    await writer.query(`insert into ${table} (tenant_id, id, total) values ('t_acme', 1, '1')`);
    const changed = migrate(change(table, retyped));
    await expect
      .poll(async () => (await stack.admin.query('select from pg_locks where not granted')).rowCount)
      .toBeGreaterThan(0);
    await writer.query(`insert into ${table} (tenant_id, id, total) values ('t_acme', 2, '2')`);
    await writer.query('commit');
    writer.release();
    await changed;
    await write(table, 3);
    expect(await versions(table)).toEqual([1, 1, 2]);
  });
});
