import { request } from './gate.ts';
import type { Rule } from './types.ts';
import { WRONG } from './wrong-tokens.ts';

/** The gate takes a member's usual request by a shorter way than auth.enter(): what that promises has to hold there, too. */

const PASS = 'select auth.pre_request()';

const rule = (title: string, check: Rule['check'], more: Partial<Rule> = {}): Rule => ({
  about: 'auth.member_seal(text)',
  family: 'gate',
  title,
  login: 'authenticator',
  check,
  ...more,
});

export const shortWayRules: Rule[] = [
  ...WRONG.filter(({ claims, title }) => claims || title.startsWith('claims changed')).map(({ title, told }) =>
    rule(`a request with ${title} in its token is refused`, async (acting) => {
      await acting.aside(async () => {
        await request(acting, 'A_owner', 'tenant_user');
        await acting.ok(PASS);
      });
      await request(acting, title, 'tenant_user');
      await acting.refused(told, PASS);
    }),
  ),
  ...(
    [
      ['an owner as viewer', 'viewer'],
      ['A_downgraded', 'viewer'],
      ['A_member', 'member'],
      ['A_owner', 'owner'],
    ] as const
  ).map(([token, role]) =>
    rule(`a request of ${token} is sealed as ${role}`, async (acting) => {
      await request(acting, token, 'tenant_user');
      await acting.ok(PASS);
      const [seal] = await acting.ok('select request.tenant_id() as tenant, request.tenant_role() as role');
      acting.same(seal, { tenant: acting.facts.world.tenants.A, role }, 'the seal');
    }),
  ),
  rule('one request has one context', async (acting) => {
    await request(acting, 'A_owner', 'tenant_user');
    await acting.ok(PASS);
    await acting.ok(PASS);
    await request(acting, 'B_owner', 'tenant_user');
    await acting.refused('context_sealed: one transaction, one context', PASS);
  }),
  rule(
    'a request has no older snapshot',
    async (acting) => {
      await request(acting, 'A_owner', 'tenant_user');
      await acting.refused('context_sealed: a context is entered in isolation level read committed', PASS);
    },
    { isolation: 'repeatable read' },
  ),
  // A tenant header has them go the long way.
  ...[false, true].map((long) =>
    rule(
      `what a request sets ends with its transaction${long ? ', with a tenant header' : ''}`,
      async (acting) => {
        const { ok, same, facts } = acting;
        const OWN_LIMIT = '7654321ms';
        const [{ limit } = { limit: '' }] = await ok<{ limit: string }>(
          `select current_setting('statement_timeout') as limit`,
        );
        await ok(`select set_config('statement_timeout', $1, false)`, [OWN_LIMIT]);
        await request(acting, 'A_owner', 'tenant_user', long ? { 'x-tenant-id': facts.world.tenants.A } : {});
        await ok(PASS);
        await ok('commit');
        await ok('begin');
        const [left] = await ok(
          `select coalesce(current_setting('backtrace_functions', true), '') || coalesce(current_setting('rowhouse.token', true), '') as seal,
             current_setting('statement_timeout') as limit`,
        );
        await ok(`select set_config('statement_timeout', $1, false)`, [limit]);
        same(left, { seal: '', limit: OWN_LIMIT }, 'after the commit there is a seal or a limit');
      },
      { commits: true },
    ),
  ),
  rule(
    "a tenant's time is its own setting, or its plan's, whichever changes",
    async ({ ok, same, facts }) => {
      const { A } = facts.world.tenants;
      const time = async (ms: number, what: string) =>
        same(await ok('select statement_timeout_ms as ms from tenancy.tenants where id = $1', [A]), [{ ms }], what);
      await ok('set local role rowhouse_owner');
      await ok(
        `update tenancy.plans set statement_timeout = case tier when 'free' then interval '3 s' else interval '4 s' end`,
      );
      await ok(`update tenancy.tenants set tier = 'free' where id = $1`, [A]);
      await time(3000, 'with another plan');
      await ok(
        `insert into tenancy.tenant_settings (tenant_id, statement_timeout) values ($1, '2 s')
        on conflict (tenant_id) do update set statement_timeout = excluded.statement_timeout`,
        [A],
      );
      await time(2000, 'with a setting');
      await ok('delete from tenancy.tenant_settings where tenant_id = $1', [A]);
      await ok(`update tenancy.plans set statement_timeout = '7 s'`);
      await time(7000, 'with a plan that was changed');
    },
    { about: 'tenancy.statement_timeout_ms(text,text)', login: 'rowhouse_migrator' },
  ),
];
