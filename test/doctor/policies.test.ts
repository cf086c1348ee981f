import type { PoolClient } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { examine } from '../../functions/doctor/run.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

/** What the lints read out of the conditions of policies, and what they would put in their place. */

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  await stack.createTenant('t_acme');
});

afterAll(() => stack?.stop());

/** In a transaction of the owner that is rolled back. */
async function asOwner<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await stack.admin.connect();
  try {
    await client.query('begin; set local role rowhouse_owner');
    return await work(client);
  } finally {
    await client.query('rollback');
    client.release();
  }
}

const OWN = '(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()';
const asks = (name: string) => `(select request.has_tenant_role('${name}'))`;

test.each([
  [asks('member'), []],
  [`(kind = 'upload' and (size > 0 and ${asks('member')}))`, []],
  [`(kind = 'upload' or size > 0) and (not (size = 1 or size = 2) and ${asks('admin')}) and size < 9`, []],
  [`${asks('viewer')} and ${asks('member')}`, []],
  [`kind = 'upload'`, ['0016']],
  [`(kind = 'upload' or ${asks('member')})`, ['0016']],
  [`(kind = 'upload' or (created_by = 'x' and ${asks('member')}))`, ['0016']],
  [`(kind = 'upload' or (created_by = 'x' and (size > 0 and ${asks('member')} and size < 9)))`, ['0016']],
  [`not ((kind = 'upload' and ${asks('member')} and size = 1))`, ['0016']],
  [`case when kind = 'upload' then (size > 0 and ${asks('member')}) else true end`, ['0016']],
  [`coalesce(size > 0 and ${asks('member')} and size < 9, true)`, ['0016']],
  [`${asks('member')} is not null`, ['0016']],
  [`name <> ' AND request.has_tenant_role(''member''::text) AND '`, ['0016']],
  [asks('viewer'), ['0100']],
  [`${asks('viewer')} and (kind = 'upload' or (size = 0 and ${asks('admin')}))`, ['0100']],
  [`${asks('viewer')} and name <> ' AND request.has_tenant_role(''owner''::text) AND '`, ['0100']],
])('of %s, the lints of roles say %j', async (condition, expected) => {
  const found = await asOwner(async (client) => {
    await client.query(
      `alter policy "A writer deletes rows of their tenant" on app.files using (${OWN} and ${condition})`,
    );
    return (await examine(client)).findings;
  });
  expect(found.map(({ lint }) => lint.slice(0, 4)).filter((id) => ['0016', '0100'].includes(id))).toEqual(expected);
});

const THINGS = `
  create table app.things (tenant_id tenancy.tenant_id not null, id integer not null, name text not null, primary key (tenant_id, id))
    partition by hash (tenant_id);
  select tenancy.protect('app.things', partitions => 2, expose => true, write_condition => $$name <> 'A  b'$$);
  reset role;
  insert into app.things select 't_acme', i, (array['A  b', 'open', 'closed'])[i % 3 + 1] from generate_series(0, 5) as i;
  set local role rowhouse_owner;`;
const restrict = (verb: string, condition: string, name = `No ${verb}`) =>
  `create policy "${name}" on app.things as restrictive for ${verb} to tenant_user ${condition};`;
const DONE = `name <> 'closed' or (select request.has_tenant_role('admin'))`;

/** What a member of each role does to each row, and whether it may. */
async function outcomes(client: PoolClient): Promise<string[]> {
  const told: string[] = [];
  for (const role of ['viewer', 'member', 'admin'] as const) {
    const token = await stack.token({ tenant: 't_acme', role });
    await client.query('savepoint s');
    await client.query('select auth.enter($1)', [token]);
    await client.query('set local role tenant_user; savepoint t');
    for (const statement of [
      'select id from app.things order by id',
      `insert into app.things (id, name) values (7, 'open') returning id`,
      `insert into app.things (id, name) values (7, 'closed') returning id`,
      `update app.things set name = name || '' returning id`,
      `update app.things set name = 'closed' where id = 1 returning id`,
      'delete from app.things returning id',
    ]) {
      const done = await client.query(statement).then(
        ({ rows }) => rows.map(({ id }) => id).sort(),
        ({ code }: { code: string }) => code,
      );
      told.push(`${role}: ${statement}: ${done}`);
      await client.query('rollback to t');
    }
    await client.query('rollback to s; set local role rowhouse_owner');
  }
  return told;
}

test.each([
  ['a role for readers', restrict('select', `using (${asks('admin')})`), true],
  [
    'a condition of all that is written',
    restrict('insert', `with check (${DONE})`) +
      restrict('update', `using (${DONE})`) +
      restrict('delete', `using (${DONE})`),
    true,
  ],
  ['a condition of readers', restrict('select', `using (${DONE})`), false],
  ['a condition of one verb', restrict('delete', `using (${DONE})`), false],
  ['one before and another after', restrict('update', `using (${DONE}) with check (name <> 'x')`), false],
  ['a condition of everything', restrict('all', `using (${DONE})`), false],
])('the remedy of 0126 for %s lets through what the policy let through', async (_what, policies, repeatable) => {
  await asOwner(async (client) => {
    await client.query(THINGS + policies);
    const before = await outcomes(client);
    expect(new Set(before).size).toBeGreaterThan(10);
    const { findings } = await examine(client);
    const [found] = findings.filter(({ lint }) => lint === '0126_restrictive_policy');
    await client.query(found?.remedy ?? '');
    expect((await examine(client)).findings).toEqual([]);
    expect(await outcomes(client)).toEqual(before);
    expect(found?.remedy.includes('tenancy.protect(')).toBe(repeatable);
    if (repeatable) await client.query(/select tenancy\.protect.*/.exec(found?.remedy ?? '')?.[0] ?? '');
  });
});
