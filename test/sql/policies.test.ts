import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let token: string;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  await stack.createTenant('t_acme');
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

// When an update has waited for another, PostgreSQL checks the policy again on the new row: a policy can fail that check.
test.each(['update v1.files set name = $1 returning name', 'delete from v1.files where name <> $1 returning name'])(
  'a writer that waited for another of the same row still writes: %s',
  async (sql) => {
    const first = await sealed();
    const second = await sealed();
    try {
      await first.query(
        `delete from v1.files; insert into v1.files (name, content_type, size) values ('new', 'text/csv', 1)`,
      );
      await first.query('commit; begin');
      await first.query('select auth.enter($1)', [token]);
      await first.query(`set local role tenant_user; update v1.files set name = 'first'`);
      const waiting = second.query(sql, ['second']);
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
  },
);

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
