import { afterAll, beforeAll, expect, test } from 'vitest';
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
