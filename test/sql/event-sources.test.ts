import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// Which rows and columns of a table its events show, to whom.

let stack: TestStack;
const tokens: Record<string, string> = {};
let tables = 0;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  for (const role of ['owner', 'admin', 'member', 'viewer'] as const)
    tokens[role] = await stack.token({ tenant: 't_acme', role });
});

afterAll(() => stack?.stop());

interface Data {
  old: Record<string, unknown> | null;
  new: Record<string, unknown> | null;
  changed: string[] | null;
}

/** A table of its own for each test, with one row in it. */
async function makeTable(options = ''): Promise<string> {
  tables += 1;
  const table = `app.sheets_${tables}`;
  await stack.migrator.query(`
    create table ${table} (
      tenant_id tenancy.tenant_id not null, id integer not null, title text, email text, author text default 'ada',
      constraint sheets_${tables}_pkey primary key (tenant_id, id)) partition by hash (tenant_id);
    select tenancy.protect('${table}', partitions => 1 ${options})`);
  return table;
}

const write = (table: string, id: number) =>
  stack.admin.query(
    `insert into ${table} (tenant_id, id, title, email) values ('t_acme', $1, 'title', 'hidden@mail')`,
    [id],
  );

const view = (table: string, query: string) => {
  const name = table.replace('app.', 'v1.');
  return `drop view if exists ${name}; create view ${name} with (security_invoker = true) as ${query}; grant select on ${name} to tenant_user`;
};
const add = (table: string, more = '') =>
  `select ledger.add_event_source('${table}', '${table.replace('app.', 'v1.')}' ${more})`;

async function events(table: string, who = 'owner'): Promise<Data[]> {
  const query = `type=like.${table}.*&order=position&select=event`;
  const { status, body } = await http<{ event: { data: Data } }[]>(`${stack.postgrest}/events?${query}`, {
    token: tokens[who] ?? '',
  });
  expect(status).toBe(200);
  return body.map(({ event }) => event.data);
}

async function readers(table: string): Promise<string[]> {
  const seeing = [];
  for (const role of ['viewer', 'member', 'admin', 'owner'])
    if ((await events(table, role)).length > 0) seeing.push(role);
  return seeing;
}

describe('who sees the events of a table', () => {
  test.each([
    ['viewer', 'viewer', ['viewer', 'member', 'admin', 'owner']],
    ['member', 'member', ['member', 'admin', 'owner']],
    ['admin', 'admin', ['admin', 'owner']],
  ])('that %ss may read: those may', async (role, least, seeing) => {
    const table = await makeTable(`, expose => true, read_role => '${role}', write_role => 'admin'`);
    await write(table, 1);
    expect(await readers(table)).toEqual(seeing);
    const { rows } = await stack.admin.query(
      'select least_role, read_role from ledger.sources join ledger.event_sources using (name) where name = $1',
      [table],
    );
    expect(rows).toEqual([{ least_role: least, read_role: null }]);
  });

  test.each(['viewer', 'member', 'admin'])(
    'with a restrictive policy: owners alone, though %ss may read some of its rows',
    async (role) => {
      const table = await makeTable(`, expose => true, read_role => '${role}', write_role => 'admin'`);
      await write(table, 1);
      await stack.migrator.query(
        `create policy "Only one's own" on ${table} as restrictive for select to tenant_user using (author = request.subject())`,
      );
      const own = await http<unknown[]>(`${stack.postgrest}/${table.replace('app.', '')}`, {
        token: tokens.admin ?? '',
      });
      expect([own.status, own.body]).toEqual([200, []]);
      expect(await readers(table)).toEqual(['owner']);
      // Also where it is protected, and so added, after the policy was made.
      await stack.migrator.query(
        `select tenancy.protect('${table}', expose => true, read_role => '${role}', write_role => 'admin')`,
      );
      expect(await readers(table)).toEqual(['owner']);
      await stack.migrator.query(`drop policy "Only one's own" on ${table}`);
      expect(await readers(table)).toContain(role);
    },
  );

  test('whose policy was narrowed: owners alone, also where one transaction does both', async () => {
    const narrow = (table: string) => `alter policy "A member reads the rows of their tenant" on ${table} using (
      (select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()
      and (select request.has_tenant_role('member')) and author = request.subject())`;
    const later = await makeTable(`, expose => true, read_role => 'member'`);
    await write(later, 1);
    expect(await readers(later)).toEqual(['member', 'admin', 'owner']);
    await stack.migrator.query(narrow(later));
    expect(await readers(later)).toEqual(['owner']);
    await stack.migrator.query(add(later));
    expect(await readers(later)).toEqual(['owner']);

    const client = await stack.migrator.connect();
    await client.query('begin');
    const table = 'app.sheets_at_once';
    await client.query(`create table ${table} (
      tenant_id tenancy.tenant_id not null, id integer not null, title text, email text, author text,
      constraint sheets_at_once_pkey primary key (tenant_id, id)) partition by hash (tenant_id)`);
    await client.query(`select tenancy.protect('${table}', partitions => 1, expose => true)`);
    await client.query(narrow(table));
    await client.query('commit');
    client.release();
    await write(table, 1);
    expect(await readers(table)).toEqual(['owner']);
  });

  test('is looked up as well when nothing is remembered of its policy, as after a restore', async () => {
    const table = await makeTable(`, expose => true, read_role => 'member'`);
    await write(table, 1);
    await stack.migrator.query(
      `update ledger.event_sources set policy_role = 'viewer', policy_version = '(1,1) 1' where name = '${table}'`,
    );
    expect(await readers(table)).toEqual(['member', 'admin', 'owner']);
  });

  test('is what a given read_role says, whatever the policies', async () => {
    const table = await makeTable(`, expose => true`);
    await write(table, 1);
    await stack.migrator.query(add(table, `, 'admin'`));
    expect(await readers(table)).toEqual(['admin', 'owner']);
  });
});

test('an event that has the address of a webhook endpoint is for those who may read the endpoint', async () => {
  await stack.admin.query(
    `select ledger.append_event('t_acme', 'webhook.endpoint.disabled', 'e', '{"url": "https://hooks.invalid/secret"}')`,
  );
  const seeing = [];
  for (const role of ['viewer', 'member', 'admin', 'owner']) {
    const { body } = await http<unknown[]>(`${stack.postgrest}/events?type=eq.webhook.endpoint.disabled`, {
      token: tokens[role] ?? '',
    });
    if (body.length > 0) seeing.push(role);
  }
  expect(seeing).toEqual(['admin', 'owner']);
});

describe('the columns that the events of a table show', () => {
  test('are in no entry from before they were added: their name was another column’s, which was hidden', async () => {
    const table = await makeTable();
    await stack.migrator.query(`${view(table, `select tenant_id, id, title from ${table}`)}; ${add(table)}`);
    await write(table, 1);
    await stack.migrator.query(`
      alter table ${table} rename email to private_email;
      alter table ${table} add email text;
      ${view(table, `select tenant_id, id, title, email from ${table}`)};
      ${add(table)}`);
    await stack.admin.query(`update ${table} set email = 'public@mail', title = 'new' where id = 1`);
    const [inserted, updated] = await events(table);
    expect(inserted?.new).toEqual({ tenant_id: 't_acme', id: 1, title: 'title' });
    expect(updated?.new).toEqual({ tenant_id: 't_acme', id: 1, title: 'new', email: 'public@mail' });
    expect(updated?.changed?.toSorted()).toEqual(['email', 'title']);
    // Nothing changes when it is added again.
    await stack.migrator.query(add(table));
    expect(await events(table)).toEqual([inserted, updated]);
    expect(JSON.stringify([inserted, updated])).not.toContain('hidden');
  });

  test('that were taken away and come back are in later entries alone', async () => {
    const table = await makeTable();
    const full = view(table, `select tenant_id, id, title from ${table}`);
    await stack.migrator.query(`${full}; ${add(table)}`);
    await write(table, 1);
    expect((await events(table))[0]?.new).toMatchObject({ title: 'title' });
    await stack.migrator.query(`${view(table, `select tenant_id, id from ${table}`)}; ${add(table)}`);
    await stack.migrator.query(`${full}; ${add(table)}`);
    await write(table, 2);
    expect((await events(table)).map((data) => data.new)).toEqual([
      { tenant_id: 't_acme', id: 1 },
      { tenant_id: 't_acme', id: 2, title: 'title' },
    ]);
  });

  test('are those that the view shows as they are: none that it masks, renames or takes from elsewhere', async () => {
    const table = await makeTable();
    await stack.migrator.query(`
      ${view(table, `select tenant_id, id, left(title, 1) as title, author as email, (select 'x') as author from ${table}`)};
      ${add(table)}`);
    await write(table, 1);
    expect((await events(table))[0]?.new).toEqual({ tenant_id: 't_acme', id: 1 });
  });

  test('are those that it was told, where the view reads no table', async () => {
    const { rows } = await stack.admin.query(`select columns from ledger.event_sources where name = 'tenancy.tenants'`);
    expect(rows[0].columns).toContain('slug');
    const table = await makeTable();
    await stack.migrator.query(
      `${view(table, `select 't_acme' as tenant_id, 1 as id, 'x' as email`)}; ${add(table, `, 'member', '{id}'`)}`,
    );
    await write(table, 1);
    expect((await events(table))[0]?.new).toEqual({ id: 1 });
  });
});

describe('a view that leaves rows out', () => {
  test.each([
    ['a where', 'where id > 5'],
    ['a limit', 'limit 5'],
    ['a distinct', '', 'distinct'],
    ['a group by', 'group by 1, 2'],
    ['a having', 'having true'],
    ['a join', 'join generate_series(1, 5) as s (id) using (id)'],
    ['a sample', 'tablesample system (10)'],
  ])('by %s makes events for a given read_role alone', async (_, clause, distinct = '') => {
    const table = await makeTable();
    const columns = clause === 'having true' ? 'max(title) as title' : 'tenant_id, id';
    await stack.migrator.query(view(table, `select ${distinct} ${columns} from ${table} ${clause}`));
    await expect(stack.migrator.query(add(table))).rejects.toMatchObject({
      code: '42P16',
      message: `${table.replace('app.', 'v1.')} does not show each row of ${table}, and its events would`,
    });
    await stack.migrator.query(add(table, `, 'admin'`));
    await write(table, 1);
    expect(await readers(table)).toEqual(['admin', 'owner']);
  });

  test.each([
    ['a sub-select', (table: string) => `select tenant_id, id from (select * from ${table} where id > 5) as kept`],
    ['a with', (table: string) => `with kept as (select * from ${table} where id > 5) select tenant_id, id from kept`],
    [
      'a union',
      (table: string) =>
        `select tenant_id, id from ${table} where id > 5 union all select tenant_id, id from ${table} where id < 0`,
    ],
  ])('by %s is refused as well', async (_, query) => {
    const table = await makeTable();
    await stack.migrator.query(view(table, query(table)));
    await expect(stack.migrator.query(add(table))).rejects.toMatchObject({ code: '42P16' });
  });
});
