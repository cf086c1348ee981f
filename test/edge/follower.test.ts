import pino from 'pino';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { type Change, createFollower, type Follower } from '../../functions/edge/follow/follower.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
const followers: Follower[] = [];

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
});
afterEach(async () => {
  for (const follower of followers.splice(0)) await follower.stop();
});
afterAll(() => stack?.stop());

async function follow(): Promise<{ follower: Follower; changes: Change[]; resets: () => number }> {
  const log = pino({ level: 'silent' });
  const follower = createFollower({ connectionString: stack.database.edge, log, idleMs: 3_600_000 });
  followers.push(follower);
  const changes: Change[] = [];
  let resets = 0;
  follower.onChange((change) => changes.push(change));
  follower.onReset(() => resets++);
  await follower.sync();
  return { follower, changes, resets: () => resets };
}

const join = (tenant: string, user: string) =>
  `insert into tenancy.members (tenant_id, user_id) values ('${tenant}', '${user}')`;
const backends = `select pg_terminate_backend(pid) from pg_stat_activity
  where application_name = 'rowhouse-edge-follower' and datname = current_database()`;

test('tells which tables of which tenants have changed, once', async () => {
  const { follower, changes } = await follow();
  await stack.migrator.query(join('t_acme', 'once'));
  await follower.sync();
  expect(changes).toEqual([{ tenantId: 't_acme', table: 'tenancy.members' }]);
  await follower.sync();
  expect(changes).toHaveLength(1);
});

test('tells every tenant of statements that write for several, and a statement of many rows by one entry', async () => {
  const { follower, changes } = await follow();
  const told = () =>
    changes
      .splice(0)
      .map(({ tenantId, table }) => `${tenantId} ${table}`)
      .sort();
  const both = ['t_acme tenancy.members', 't_globex tenancy.members'];
  // Three in turn, then in blocks: whichever of a tenant comes first in a statement.
  for (const tenant of [
    `case n % 2 when 0 then 't_acme' else 't_globex' end`,
    `case when n < 3 then 't_globex' else 't_acme' end`,
  ]) {
    await stack.migrator.query(
      `insert into tenancy.members (tenant_id, user_id) select ${tenant}, 'many ' || n from generate_series(1, 6) as n`,
    );
    await follower.sync();
    expect(told()).toEqual(both);
    await stack.migrator.query(`update tenancy.members set role = 'admin' where user_id like 'many %'`);
    await follower.sync();
    expect(told()).toEqual(both);
    await stack.migrator.query(`delete from tenancy.members where user_id like 'many %'`);
    await follower.sync();
    expect(told()).toEqual(both);
  }
  await stack.migrator.query(
    `insert into tenancy.members (tenant_id, user_id) select 't_acme', 'own ' || n from generate_series(1, 6) as n`,
  );
  await follower.sync();
  expect(told()).toEqual(['t_acme tenancy.members']);
  const { rows } = await stack.admin.query(
    `select count(*)::int as entries, count(*) filter (where leads)::int as leading from ledger.entries where row_id like 'own %'`,
  );
  expect(rows).toEqual([{ entries: 6, leading: 1 }]);
});

test('tells what no tenant owns with no tenant', async () => {
  const { follower, changes } = await follow();
  await stack.migrator.query(`select tenancy.suspend_tenant('t_globex'), tenancy.resume_tenant('t_globex')`);
  await stack.migrator.query('select auth.rotate_signing_key()');
  await follower.sync();
  expect(
    changes.toSorted((left, right) =>
      `${left.table} ${left.tenantId}`.localeCompare(`${right.table} ${right.tenantId}`),
    ),
  ).toEqual([
    { tenantId: null, table: 'auth.signing_keys' },
    { tenantId: null, table: 'tenancy.tenants' },
    { tenantId: 't_globex', table: 'tenancy.tenants' },
  ]);
});

test('misses nothing of a transaction that began before others and ends after them', async () => {
  const { follower, changes } = await follow();
  await connected(stack.database.migrator, async (early) => {
    await early.query('begin');
    await early.query(join('t_acme', 'early'));
    await stack.migrator.query(join('t_globex', 'late'));
    await follower.sync();
    expect(changes).toEqual([{ tenantId: 't_globex', table: 'tenancy.members' }]);
    await early.query('commit');
  });
  await follower.sync();
  expect(changes.slice(1)).toEqual([{ tenantId: 't_acme', table: 'tenancy.members' }]);
});

test('says nothing of what was rolled back', async () => {
  const { follower, changes } = await follow();
  await connected(stack.database.migrator, async (client) => {
    await client.query('begin');
    await client.query(join('t_acme', 'nobody'));
    await follower.sync();
    await client.query('rollback');
  });
  await follower.sync();
  expect(changes).toEqual([]);
});

test('whoever asks after a commit has heard of it when answered, however many ask', async () => {
  const { follower, changes } = await follow();
  for (let nth = 0; nth < 50; nth++) {
    const others = [follower.sync(), follower.sync()]; // one under way, one waiting
    await stack.migrator.query(join('t_acme', `user_${nth}`));
    await follower.sync();
    expect(changes).toHaveLength(nth + 1);
    await Promise.all(others);
  }
});

test('shares one query among those who wait', async () => {
  const { follower } = await follow();
  const before = follower.mark();
  await Promise.all(Array.from({ length: 1000 }, () => follower.sync()));
  expect(follower.mark() - before).toBeLessThanOrEqual(2);
});

test('forgets everything when its connection is lost, and follows again', async () => {
  const { follower, changes, resets } = await follow();
  await stack.admin.query(backends);
  await expect(follower.sync()).rejects.toMatchObject({ code: 'database_unavailable' });
  expect(resets()).toBe(1);
  await follower.sync();
  await stack.migrator.query(join('t_acme', 'again'));
  await follower.sync();
  expect(changes).toEqual([{ tenantId: 't_acme', table: 'tenancy.members' }]);
});

test('reads that something has changed, never what', async () => {
  await connected(stack.database.edge, async (edge) => {
    const { rows } = await edge.query(`select * from ledger.changes_after('1:1:'::pg_snapshot) limit 3`);
    expect(Object.keys(rows[0])).toEqual(['snapshot', 'tenant_id', 'table_name']);
    await expect(edge.query('select * from ledger.entries')).rejects.toMatchObject({
      message: expect.stringContaining('tenant_required'),
    });
    await expect(edge.query('select * from tenancy.directory_changes')).rejects.toMatchObject({ code: '42501' });
    await expect(edge.query(`insert into tenancy.directory_changes (table_name) values ('x')`)).rejects.toMatchObject({
      code: '42501',
    });
  });
});
