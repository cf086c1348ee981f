import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  await stack.createTenant('t_acme');
});

afterAll(() => stack?.stop());

const good = `
  create table app.things (
    tenant_id tenancy.tenant_id not null,
    id uuid not null default uuidv7(),
    name text,
    constraint things_pkey primary key (tenant_id, id)
  ) partition by hash (tenant_id)`;

/** Runs in a transaction that is rolled back; returns what protect() said. */
async function protectAfter(setup: string, call = `tenancy.protect('app.things', partitions => 2)`) {
  const client = await stack.migrator.connect();
  try {
    await client.query('begin');
    await client.query(setup);
    await client.query(`select ${call}`);
    return 'protected';
  } catch (error) {
    const { code, message, hint } = error as { code: string; message: string; hint: string };
    return { code, message, hint };
  } finally {
    await client.query('rollback');
    client.release();
  }
}

const refusal = (problem: string, hint: string) => ({
  code: '42P16',
  message: `app.things cannot be protected: ${problem}`,
  hint,
});

test('protects a table that qualifies', async () => {
  expect(await protectAfter(good)).toBe('protected');
});

test.each<[name: string, setup: string, problem: string, hint: string]>([
  [
    'without tenant_id',
    `create table app.things (id uuid primary key)`,
    'it has no column tenant_id',
    'add: tenant_id tenancy.tenant_id not null',
  ],
  [
    'whose tenant_id is of another type',
    good.replace('tenancy.tenant_id not null', 'text not null'),
    'tenant_id is of type text',
    'make it of type tenancy.tenant_id',
  ],
  [
    'whose tenant_id can be null',
    `create table app.things (tenant_id tenancy.tenant_id, id uuid) partition by hash (tenant_id)`,
    'tenant_id can be null',
    'add: not null',
  ],
  [
    'that is not partitioned',
    good.replace(') partition by hash (tenant_id)', ')'),
    'it is not partitioned by hash (tenant_id)',
    'create it with: partition by hash (tenant_id)',
  ],
  [
    'that is partitioned by list',
    good.replace('partition by hash', 'partition by list'),
    'it is not partitioned by hash (tenant_id)',
    'create it with: partition by hash (tenant_id)',
  ],
  [
    'that is partitioned by more than the tenant',
    good.replace('partition by hash (tenant_id)', 'partition by hash (tenant_id, id)'),
    'it is not partitioned by hash (tenant_id)',
    'create it with: partition by hash (tenant_id)',
  ],
  [
    'without a primary key',
    good.replace(/,\s+constraint things_pkey primary key \(tenant_id, id\)/, ''),
    'it has no primary key',
    'add: primary key (tenant_id, id)',
  ],
  [
    'whose primary key does not lead with the tenant',
    good.replace('primary key (tenant_id, id)', 'primary key (id, tenant_id)'),
    'primary key things_pkey does not lead with tenant_id',
    'put tenant_id first',
  ],
  [
    'with a unique key that does not lead with the tenant',
    `${good}; alter table app.things add constraint things_name_key unique (name, tenant_id)`,
    'unique key things_name_key does not lead with tenant_id',
    'put tenant_id first',
  ],
  [
    'with an index that does not lead with the tenant',
    `${good}; create index things_name_idx on app.things (name)`,
    'index things_name_idx does not lead with tenant_id',
    'put tenant_id first',
  ],
  [
    'with a foreign key that does not lead with the tenant',
    `${good}; create table app.kinds (id uuid primary key);
     alter table app.things add constraint things_kind_fkey foreign key (id) references app.kinds (id)`,
    'foreign key things_kind_fkey does not lead with tenant_id',
    'reference (tenant_id, …) of another protected table: foreign key (tenant_id, x_id) references … (tenant_id, id)',
  ],
  [
    'with rows of no tenant',
    `${good}; create table app.things_all partition of app.things for values with (modulus 1, remainder 0);
     insert into app.things (tenant_id) values ('t_acme'), ('t_nobody')`,
    'it has rows of t_nobody, which is no tenant',
    'create the tenant first, or delete those rows',
  ],
])('refuses a table %s', async (_name, setup, problem, hint) => {
  expect(await protectAfter(setup)).toEqual(refusal(problem, hint));
});

test('refuses a number of partitions that makes no sense', async () => {
  expect(await protectAfter(good, `tenancy.protect('app.things', partitions => 0)`)).toEqual(
    refusal('0 partitions were asked for', 'ask for 1 to 1024'),
  );
});

test('makes 128 partitions when asked', async () => {
  const count = `do $$ begin assert (select count(*) from pg_inherits where inhparent = 'app.things'::regclass) = 128; end $$`;
  expect(await protectAfter(`${good}; select tenancy.protect('app.things', partitions => 128); ${count}`)).toBe(
    'protected',
  );
});

test.each([
  [`read_role => 'nonsense'`, `read_role 'nonsense' is no role of a tenant`, 'viewer, member, admin or owner'],
  [
    `read_role => 'admin'`,
    'member may write and only admin may read',
    'who changes a row has to find it: make read_role no higher than write_role',
  ],
  [`write_role => 'nonsense'`, `write_role 'nonsense' is no role of a tenant`, 'viewer, member, admin or owner'],
  [
    `expose => true, client_verbs => '{selct}'`,
    'client_verbs {selct} has more than insert, update and delete',
    'every exposed table is read; name what clients may do besides',
  ],
])('refuses the options %s', async (options, problem, hint) => {
  expect(await protectAfter(good, `tenancy.protect('app.things', ${options})`)).toEqual(refusal(problem, hint));
});

test('refuses to leave a table more open than it is asked for now', async () => {
  const open = `${good}; select tenancy.protect('app.things', partitions => 2, expose => true)`;
  expect(await protectAfter(open, `tenancy.protect('app.things', write_role => 'admin')`)).toEqual(
    refusal(
      'policy "A writer adds rows to their tenant" is there with another condition',
      'drop policy "A writer adds rows to their tenant" on app.things; then protect it again',
    ),
  );
  const privileges = `do $$ begin assert not has_table_privilege('tenant_user', 'v1.things', 'delete')
    and not has_any_column_privilege('tenant_user', 'v1.things', 'insert, update')
    and has_table_privilege('tenant_user', 'v1.things', 'select'); end $$`;
  const tightened = `select tenancy.protect('app.things', expose => true, client_verbs => '{}')`;
  expect(await protectAfter(`${open}; ${tightened}; ${privileges}`)).toBe('protected');
});

const conditioned = (condition: string) =>
  `tenancy.protect('app.things', partitions => 2, write_condition => $c$${condition}$c$)`;

test.each([
  `name <> 'Top  Secret'`,
  `name in ('a', 'b')`,
  `name::varchar(9) not in ('a', 'b')`,
  `name between 'a' and 'f' or name is null`,
  `name like 'a%' and not (name ~ 'b')`,
  `case when name = 'a' then true else (select request.has_tenant_role('owner')) end`,
  `exists (select from tenancy.members as m where m.user_id = name and m.tenant_id = things.tenant_id)`,
  `app.things.name = any ('{a,"B c"}'::text[])`,
  `things.created is null or created > '2026-01-01' and created::date <> current_date`,
])('is safe to repeat with the condition %s, and leaves nothing behind', async (condition) => {
  const dated = `${good}; alter table app.things add column created timestamptz`;
  const leftover = `do $$ begin
    assert not exists (select from pg_class where relname = 'condition_of_a_policy'); end $$`;
  const twice = `${dated}; select ${conditioned(condition)}; select ${conditioned(condition)}; ${leftover}`;
  expect(await protectAfter(twice, conditioned(condition))).toBe('protected');
});

test.each([
  [`name <> 'top secret'`, `name <> 'Top Secret'`],
  [`name <> 'top secret'`, `name <> 'topsecret'`],
  [`name <> 'a::text'`, `name <> 'a'`],
  [`name <> 'a' or name <> 'b' and id is not null`, `(name <> 'a' or name <> 'b') and id is not null`],
])('sees that the condition %s is not %s', async (before, now) => {
  expect(await protectAfter(`${good}; select ${conditioned(before)}`, conditioned(now))).toEqual(
    refusal(
      'policy "A writer adds rows to their tenant" is there with another condition',
      'drop policy "A writer adds rows to their tenant" on app.things; then protect it again',
    ),
  );
});

test.each([
  ['with another condition', 'with check (true)'],
  ['for other verbs or roles', 'to tenant_user, operator'],
])('refuses to leave a policy that was altered: it is there %s', async (problem, altered) => {
  const name = 'A writer changes rows of their tenant';
  const changed = `${good}; select tenancy.protect('app.things', partitions => 2); alter policy "${name}" on app.things ${altered}`;
  expect(await protectAfter(changed)).toEqual(
    refusal(`policy "${name}" is there ${problem}`, `drop policy "${name}" on app.things; then protect it again`),
  );
});

test('takes its arguments in the order that they always had', async () => {
  const made = `do $$ begin
    assert (select pg_get_expr(polwithcheck, polrelid) like '%has_tenant_role(''admin''::text)%' from pg_policy
      where polrelid = 'app.things'::regclass and polcmd = 'a');
    assert not has_any_column_privilege('tenant_user', 'v1.things', 'update');
    assert has_column_privilege('tenant_user', 'v1.things', 'id', 'insert');
    assert not has_column_privilege('tenant_user', 'v1.things', 'name', 'insert'); end $$`;
  const positional = `tenancy.protect('app.things', 2, true, true, 'admin', '{insert}', '{name}')`;
  expect(await protectAfter(`${good}; select ${positional}; ${made}`, positional)).toBe('protected');
});

test('takes no lock that stops readers when it is repeated', async () => {
  const client = await stack.migrator.connect();
  try {
    await client.query(`begin; ${good}; select tenancy.protect('app.things', partitions => 2); commit; begin`);
    await client.query(`select tenancy.protect('app.things', partitions => 2)`);
    const { rows } = await client.query(
      `select mode from pg_locks where pid = pg_backend_pid() and relation::regclass::text ~ '^app.things' and mode like 'AccessExclusive%'`,
    );
    expect(rows).toEqual([]);
    await client.query('rollback; drop table app.things');
  } finally {
    client.release();
  }
});

test('shows column comments to clients', async () => {
  const described = `${good}; comment on column app.things.name is 'What it is called';
    select tenancy.protect('app.things', partitions => 2, expose => true);
    do $$ begin assert col_description('v1.things'::regclass, 3) = 'What it is called'; end $$`;
  expect(await protectAfter(described)).toBe('protected');
});

test('is safe to repeat, and leaves the same catalogue', async () => {
  const policies = `select polname, polcmd, polroles::regrole[], pg_get_expr(polqual, polrelid) as using,
    pg_get_expr(polwithcheck, polrelid) as with_check from pg_policy where polrelid = 'app.things'::regclass order by 1`;
  const client = await stack.migrator.connect();
  try {
    await client.query(`begin; ${good}; select tenancy.protect('app.things', partitions => 2, expose => true)`);
    const once = (await client.query(policies)).rows;
    await client.query(`select tenancy.protect('app.things', partitions => 2, expose => true)`);
    expect((await client.query(policies)).rows).toEqual(once);
    expect(once.map((policy) => policy.polname)).toEqual([
      'A member reads the rows of their tenant',
      'A service works within its sealed tenant',
      'A writer adds rows to their tenant',
      'A writer changes rows of their tenant',
      'A writer deletes rows of their tenant',
    ]);
    const closed = await client.query(
      `select relname, relrowsecurity, relforcerowsecurity, relacl::text from pg_class where relname ~ '^things(_p..)?$' and relkind in ('r', 'p') order by 1`,
    );
    expect(closed.rows.map((row) => [row.relname, row.relrowsecurity, row.relforcerowsecurity])).toEqual([
      ['things', true, true],
      ['things_p00', true, true],
      ['things_p01', true, true],
    ]);
  } finally {
    await client.query('rollback');
    client.release();
  }
});

test('writes the ledger unless told not to', async () => {
  const triggers = async (ledger: boolean) => {
    const client = await stack.migrator.connect();
    try {
      await client.query(`begin; ${good}; select tenancy.protect('app.things', partitions => 2, ledger => ${ledger})`);
      const { rows } = await client.query(
        `select tgname from pg_trigger where tgrelid = 'app.things'::regclass and tgname like 'ledger%' order by 1`,
      );
      return rows.map((row) => row.tgname);
    } finally {
      await client.query('rollback');
      client.release();
    }
  };
  expect(await triggers(true)).toEqual(['ledger_delete', 'ledger_insert', 'ledger_update']);
  expect(await triggers(false)).toEqual([]);
});

test('every table with a tenant_id is closed, and passes the checks that protect() makes', async () => {
  const { rows } = await stack.migrator.query(`
    select attrelid::regclass::text as name, relispartition as partition, relrowsecurity and relforcerowsecurity as closed
    from pg_attribute join pg_class on pg_class.oid = attrelid
    where attname = 'tenant_id' and relkind in ('r', 'p') and relnamespace::regnamespace::text in ('app', 'tenancy', 'ledger', 'auth', 'webhook')`);
  expect(rows.length).toBeGreaterThan(100);
  expect(rows.filter((row) => !row.closed)).toEqual([]);
  // The hosts of the directory are looked up before any tenant is known: see sql/tenancy/settings.sql.
  for (const { name } of rows.filter((row) => !row.partition && row.name !== 'tenancy.domains')) {
    await stack.migrator.query('select tenancy.check_tenant_column($1)', [name]);
    // Indexes of those who work for every tenant: see sql/ledger/entries.sql, sql/app/job_schedules.sql.
    if (!['ledger.entries', 'app.job_schedules'].includes(name))
      await stack.migrator.query('select tenancy.check_keys($1)', [name]);
  }
});
