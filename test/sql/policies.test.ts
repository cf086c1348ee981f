import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let token: string;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  token = await stack.token({ tenant: 't_acme' });
});

afterAll(() => stack?.stop());

async function sealed(): Promise<pg.PoolClient> {
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [token]);
  await client.query('set local role tenant_user');
  return client;
}

const FILES = `delete from v1.files; insert into v1.files (name, content_type, size) values ('new', 'text/csv', 1)`;
const MEMBERS = `delete from v1.members where user_id = 'ann'; insert into v1.members (user_id) values ('ann')`;
const RENAMED = `update v1.files set name = 'first'`;
const PROMOTED = `update v1.members set role = 'viewer' where user_id = 'ann'`;

// When an update has waited for another, PostgreSQL checks the policy again on the new row: a policy can fail that check.
test.each([
  ['update v1.files set name = $1 returning name', 'second', FILES, RENAMED],
  ['delete from v1.files where name <> $1 returning name', 'second', FILES, RENAMED],
  // Their policies ask for more than the tenant and a role.
  [`update v1.members set role = $1 where user_id = 'ann' returning role`, 'admin', MEMBERS, PROMOTED],
  [`delete from v1.members where user_id = 'ann' and role <> $1 returning role`, 'admin', MEMBERS, PROMOTED],
])('a writer that waited for another of the same row still writes: %s', async (sql, value, before, change) => {
  const first = await sealed();
  const second = await sealed();
  try {
    await first.query(before);
    await first.query('commit; begin');
    await first.query('select auth.enter($1)', [token]);
    await first.query(`set local role tenant_user; ${change}`);
    const waiting = second.query(sql, [value]);
    await expect
      .poll(async () => (await stack.admin.query(`select from pg_locks where not granted`)).rowCount)
      .toBeGreaterThan(0);
    await first.query('commit');
    expect((await waiting).rowCount).toBe(1);
  } finally {
    await second.query('rollback');
    first.release();
    second.release();
  }
});

test.each([
  [`update v1.members set role = 'member' where`, 'members'],
  ['delete from v1.members where', 'members'],
  ['select from v1.api_keys where', 'api_keys'],
])('a leakproof condition that raises for a match comes after the policy: %s', async (statement, table) => {
  // Each tenant has a member of each role, and now acme has no viewer.
  await stack.migrator.query(`delete from tenancy.members where tenant_id = 't_acme' and role = 'viewer'`);
  await stack.admin.query(`insert into auth.api_keys (tenant_id, id, name, scopes, tenant_role, created_by) values
    ('t_globex', repeat('a', 16), 'spy', '{read}', 'viewer', 'spy'), ('t_acme', repeat('b', 16), 'own', '{read}', 'admin', 'eve') on conflict do nothing`);
  const column = { members: 'role', api_keys: 'tenant_role' }[table];
  const raising = `${{ members: 'user_id', api_keys: 'name' }[table]} = (select (1 / (random() * 0)::int)::text)`;
  const client = await sealed();
  try {
    await client.query('set local enable_indexscan = off; set local enable_bitmapscan = off; savepoint s');
    const ask = async (value: string) => {
      const sql = `${statement} ${column} = '${value}' and ${raising}`;
      const answer = await client.query(sql).then(
        ({ rowCount }) => rowCount,
        ({ code }: { code: string }) => code,
      );
      await client.query('rollback to s');
      return answer;
    };
    expect(await ask('admin')).toBe('22012'); // an own row
    expect(await ask('viewer')).toBe(0); // the other tenant's
    expect(await ask('nothing')).toBe(0);
  } finally {
    await client.query('rollback');
    client.release();
  }
});

test.each([
  ['list', 'select * from v1.files order by created_at desc, id desc limit $1', [20]],
  ['one by key', 'select * from v1.files where id = $1', ['00000000-0000-7000-8000-000000000000']],
  ['count', 'select count(*) from v1.jobs where status = $1', ['queued']],
  [
    'embed',
    'select j.id, f.* from v1.jobs j join v1.files f on f.tenant_id = j.tenant_id and f.job_id = j.id limit $1',
    [5],
  ],
  ['update', 'update v1.files set name = $1', ['name']],
  ['delete', 'delete from v1.jobs where id = $1', ['00000000-0000-7000-8000-000000000000']],
] as const)('the generic plan of %s reads one partition of each table, by an index', async (_name, sql, values) => {
  const client = await sealed();
  try {
    await client.query('set local plan_cache_mode = force_generic_plan; set local enable_seqscan = off');
    await client.query(`prepare probe as ${sql}`);
    const literal = values.map((value) => (typeof value === 'number' ? value : `'${value}'`)).join(', ');
    const { rows } = await client.query(`explain (costs off) execute probe(${literal})`);
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).toContain('Subplans Removed: 31');
    expect(plan).toMatch(/Index (Only )?Scan/);
    expect(plan).not.toContain('Seq Scan');
    expect(plan).toMatch(/Index Cond: \(+tenant_id\)?(::text)? = \(?COALESCE/);
    const partitions = new Set([...plan.matchAll(/ on (?:files|jobs)_(p\d\d)/g)].map(([, partition]) => partition));
    expect(partitions.size).toBe(1);
  } finally {
    await client.query('rollback; deallocate all');
    client.release();
  }
});
