import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';

/** The gate reads one row for it: triggers keep there what settings and plan say. */

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
});

afterAll(() => stack?.stop());

const timeouts = async () => {
  const { rows } = await stack.admin.query('select id, statement_timeout_ms as ms from tenancy.tenants order by id');
  return Object.fromEntries(rows.map(({ id, ms }) => [id, ms]));
};

test('a tenant has its plan’s timeout, and another one when it changes its tier', async () => {
  expect(await timeouts()).toEqual({ t_acme: 10_000, t_globex: 10_000 });
  await stack.admin.query(`update tenancy.tenants set tier = 'free' where id = 't_acme'`);
  expect(await timeouts()).toEqual({ t_acme: 5000, t_globex: 10_000 });
});

test('its own setting goes before the plan’s, whatever changes first', async () => {
  await stack.admin.query(
    `insert into tenancy.tenant_settings (tenant_id, statement_timeout) values ('t_acme', '700 ms')`,
  );
  expect(await timeouts()).toEqual({ t_acme: 700, t_globex: 10_000 });
  await stack.admin.query(`update tenancy.tenants set tier = 'enterprise' where id = 't_acme'`);
  await stack.admin.query(
    `update tenancy.plans set statement_timeout = '20 s' where tier in ('standard', 'enterprise')`,
  );
  expect(await timeouts()).toEqual({ t_acme: 700, t_globex: 20_000 });
  await stack.admin.query(`update tenancy.tenant_settings set statement_timeout = null where tenant_id = 't_acme'`);
  expect(await timeouts()).toEqual({ t_acme: 20_000, t_globex: 20_000 });
  await stack.admin.query(`update tenancy.tenant_settings set statement_timeout = '1 s' where tenant_id = 't_acme'`);
  await stack.admin.query(`delete from tenancy.tenant_settings where tenant_id = 't_acme'`);
  expect(await timeouts()).toEqual({ t_acme: 20_000, t_globex: 20_000 });
});

test('nobody sets it by hand', async () => {
  await stack.admin.query(`update tenancy.tenants set statement_timeout_ms = 1 where id = 't_globex'`);
  expect(await timeouts()).toMatchObject({ t_globex: 20_000 });
});

test('a tenant with settings can be deleted', async () => {
  await stack.admin.query(
    `insert into tenancy.tenant_settings (tenant_id, statement_timeout) values ('t_acme', '700 ms')`,
  );
  await stack.admin.query(`delete from tenancy.tenants where id = 't_acme'`);
  expect(await timeouts()).toEqual({ t_globex: 20_000 });
});

test('a setting of something else leaves the tenant’s row alone', async () => {
  const row = async () => (await stack.admin.query(`select xmin from tenancy.tenants where id = 't_globex'`)).rows[0];
  const before = await row();
  await stack.admin.query(`insert into tenancy.tenant_settings (tenant_id, read_rate) values ('t_globex', 7)`);
  await stack.admin.query(`update tenancy.tenant_settings set read_rate = 8, statement_timeout = null`);
  await stack.admin.query(`delete from tenancy.tenant_settings`);
  expect(await row()).toEqual(before);
});

describe('when two transactions change what it depends on, whichever is first', () => {
  const PLAN = `update tenancy.plans set statement_timeout = '3 s' where tier = 'free'`;
  const EVERY_PLAN = `update tenancy.plans set statement_timeout = statement_timeout + '1 ms'`;
  const MADE = `insert into tenancy.tenants (id, slug, name, tier) values ('t_new', 'new', 'New', 'free')`;
  const MOVED = `update tenancy.tenants set tier = 'free' where id = 't_moved'`;
  const RESET = `delete from tenancy.tenant_settings where tenant_id = 't_moved'`;
  const SET = `update tenancy.tenant_settings set statement_timeout = '900 ms' where tenant_id = 't_moved'`;
  const WRONG = `select id, statement_timeout_ms, tenancy.statement_timeout_ms(id, tier) as wanted from tenancy.tenants
    where statement_timeout_ms <> tenancy.statement_timeout_ms(id, tier)`;

  test.each([
    [PLAN, MADE, {}],
    [PLAN, MOVED, { own: false }],
    [PLAN, MOVED, {}],
    [PLAN, RESET, { tier: 'free' }],
    [PLAN, SET, { tier: 'free' }],
    [RESET, MOVED, {}],
    // The setting is what the tenant has without it.
    [RESET, MOVED, { own: '10 s' }],
    [SET, MOVED, {}],
    [EVERY_PLAN, RESET, {}],
  ] as [string, string, { own?: string | false; tier?: string }][])(
    '%s and %s',
    async (one, other, { own = '2 s', tier = 'standard' }) => {
      for (const [first, second] of [
        [one, other],
        [other, one],
      ] as const) {
        await stack.admin.query(`
          update tenancy.plans set statement_timeout = case tier when 'free' then interval '5 s' else '10 s' end;
          delete from tenancy.tenants where id in ('t_new', 't_moved'); delete from tenancy.retired_ids;
          insert into tenancy.tenants (id, slug, name, tier) values ('t_moved', 'moved', 'Moved', '${tier}')`);
        if (own) {
          const setting = 'insert into tenancy.tenant_settings (tenant_id, statement_timeout) values ($1, $2)';
          await stack.admin.query(setting, ['t_moved', own]);
        }
        const [early, late] = [await stack.admin.connect(), await stack.admin.connect()];
        try {
          await early.query(`begin; ${first}`);
          let done = false;
          const waiting = late.query(second).finally(() => {
            done = true;
          });
          const waits = async () =>
            done || ((await stack.admin.query('select from pg_locks where not granted')).rowCount ?? 0) > 0;
          await expect.poll(waits).toBe(true);
          await early.query('commit');
          await waiting;
        } finally {
          early.release();
          late.release();
        }
        expect((await stack.admin.query(WRONG)).rows, `${first}, then ${second}`).toEqual([]);
      }
    },
  );
});
