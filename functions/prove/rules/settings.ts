import type { Rule } from './types.ts';

const SET = 'select admin.set_tenant_settings($1, $2) as settings';
const NOBODYS = '00000000-0000-4000-8000-000000000000';

const rule = (about: string, title: string, check: Rule['check'], login: Rule['login']): Rule => ({
  about,
  family: 'directory',
  title,
  login,
  check,
});

/** What the edge reads and keeps through functions, and where it holds no grant. */
const OF_THE_EDGE: readonly [about: string, call: string, table: string][] = [
  ['tenancy.tenant_of_host(text,text)', `select tenancy.tenant_of_host('prove.invalid', null)`, 'tenancy.domains'],
  ['tenancy.enabled_pools()', 'select tenancy.enabled_pools()', 'tenancy.pools'],
  ['metering.attend(uuid,boolean)', `select metering.attend('${NOBODYS}')`, 'metering.edges'],
];

/** Settings of tenants, and what edges are told and keep. */
export const settingRules: Rule[] = [
  rule(
    'admin.set_tenant_settings(text,jsonb)',
    'an operator sets what is named, of the tenant that is named',
    async ({ enter, ok, same, facts }) => {
      const { B, C } = facts.world.tenants;
      await enter('operator', 'operator');
      await ok(SET, [B, { read_rate: 7 }]);
      const [set] = await ok<{ settings: Record<string, unknown> }>(SET, [C, { read_rate: 9, rate_shadow: true }]);
      same([set?.settings.read_rate, set?.settings.rate_shadow], [9, true], 'what was set');
      const [other] = await ok<{ settings: Record<string, unknown> }>(SET, [B, { write_rate: 8 }]);
      const found = ['read_rate', 'write_rate', 'rate_shadow'].map((name) => other?.settings[name]);
      same(found, [7, 8, false], "the other tenant's");
    },
    'authenticator',
  ),
  rule(
    'admin.set_tenant_settings(text,jsonb)',
    'settings that there are none of, or that do not hold, are refused',
    async ({ enter, ok, refused, facts }) => {
      const { C } = facts.world.tenants;
      await enter('operator', 'operator');
      await ok(SET, [C, { read_rate: 7 }]);
      await refused('tenant_unknown', SET, ['t_prove_nobody', {}]);
      for (const name of ['none', 'tenant_id', 'updated_at'])
        await refused(`tenant_invalid: no setting is called ${name}`, SET, [C, { [name]: 'x' }]);
      await refused('tenant_invalid: tenant_settings_rates_positive does not hold', SET, [C, { read_rate: 0 }]);
      await refused('tenant_invalid: the type of a value does not hold', SET, [C, { read_rate: 'many' }]);
    },
    'authenticator',
  ),
  rule(
    'tenancy.settings_of(text)',
    "the edge is told the settings of the tenant that it asks for, and holds no grant on anybody's",
    async ({ ok, same, refused, facts }) => {
      const { A, B } = facts.world.tenants;
      for (const tenant of [A, B, null])
        same(
          await ok(`select tenancy.settings_of($1) ->> 'tenantId' as tenant`, [tenant ?? 't_prove_nobody']),
          [{ tenant }],
          'whose settings they are',
        );
      await refused('42501', 'select from tenancy.tenants');
    },
    'rowhouse_edge',
  ),
  rule(
    'metering.lease(text[],text[],double precision[],double precision[],double precision[],double precision[],double precision[])',
    'the edge leases from the bucket of a tenant that there is',
    async ({ ok, same, refused, facts }) => {
      const lease = `select granted from metering.lease(array[$1], '{read}', '{1}', '{10}', '{0}', '{4}', '{null}')`;
      same(await ok(lease, [facts.world.tenants.C]), [{ granted: 4 }], 'what is granted');
      same(await ok(lease, ['t_prove_nobody']), [], 'what is granted to nobody');
      await refused('42501', 'select from metering.rate_buckets');
    },
    'rowhouse_edge',
  ),
  ...OF_THE_EDGE.map(([about, call, table]) =>
    rule(
      about,
      'the edge calls it, and holds no grant on what it reads',
      async ({ ok, refused }) => {
        await ok(call);
        await refused('42501', `select from ${table}`);
      },
      'rowhouse_edge',
    ),
  ),
  rule(
    'tenancy.pools',
    'a pool that is changed says when',
    async ({ ok, same }) => {
      await ok(
        `insert into tenancy.pools (name, url, kind, updated_at) values ('prove', 'http://prove', 'replica', '-infinity')`,
      );
      await ok(`update tenancy.pools set enabled = false where name = 'prove'`);
      const now = `select updated_at = now() as now from tenancy.pools where name = 'prove'`;
      same(await ok(now), [{ now: true }], 'updated_at is now');
    },
    'rowhouse_migrator',
  ),
];
