import { type Mistake, READ_POLICY, reading } from './mistake.ts';

const claims = reading(
  'invoices',
  `tenant_id = coalesce(nullif(current_setting('request.jwt.claims', true), '')::json -> 'user_metadata' ->> 'tenant_id', request.tenant_id())`,
);
const emptied = reading(
  'invoices',
  `coalesce(nullif(current_setting('app.tenant_id', true), ''), tenant_id::text) = tenant_id`,
);
const byRole = reading('tags', `current_user = 'tenant_user'`);
const switchable = reading(
  'invoices',
  `tenant_id = coalesce(nullif(current_setting('app.current_tenant', true), ''), request.tenant_id())`,
);

/** Where the policy asks something for the tenant that its caller may write. */
export const SETTING_MISTAKES: Mistake[] = [
  {
    name: 'a policy reads request.jwt.claims, and of those what users may edit',
    source:
      'splinter 0015 (user_metadata); postgresql.org 2011519.1598036899@sss.pgh.pa.us (why RLS, if users set the variable)',
    plant: claims.plant,
    doctor: [
      `0010_policy_not_sealed "${READ_POLICY}" on app.invoices`,
      `0018_policy_reads_setting "${READ_POLICY}" on app.invoices`,
    ],
    prove: {
      uproot: claims.uproot,
      only: { relations: ['v1.invoices'], verbs: ['session'] },
      at: /^v1\.invoices · session · authenticator as tenant_user · setting/,
      beside: 'sessions',
    },
  },
  {
    name: 'no tenant set means every tenant: the setting is empty, and not null, after the transaction',
    source: 'PostgREST docs/references/transactions.rst (nullif); pgrls SEC019',
    plant: emptied.plant,
    doctor: [`0018_policy_reads_setting "${READ_POLICY}" on app.invoices`],
    prove: {
      uproot: emptied.uproot,
      only: { relations: ['v1.invoices'], families: ['read'] },
      at: /^v1\.invoices · select · viewer · read/,
    },
  },
  {
    name: 'a policy goes by the current user',
    source: 'CVE-2024-10976; CVE-2023-2455; CVE-2016-2193; pgrls SEC018',
    plant: byRole.plant,
    doctor: [`0019_policy_reads_current_user "${READ_POLICY}" on app.tags`],
    prove: {
      uproot: byRole.uproot,
      only: { relations: ['v1.tags'], families: ['read'] },
      at: /^v1\.tags · select · viewer · read/,
    },
  },
  {
    name: 'a function reaches set_config, and the policy believes the setting',
    source: 'postgresql.org 2011519.1598036899@sss.pgh.pa.us; landscape 1.3 (GUC forging)',
    plant: `${switchable.plant};
      create function v1.switch_tenant(tenant_id text) returns setof v1.invoices language plpgsql volatile set search_path = '' as
        $$ begin perform set_config('app.current_tenant', tenant_id, true); return query select * from v1.invoices; end $$;
      grant execute on function v1.switch_tenant(text) to tenant_user`,
    doctor: [
      `0018_policy_reads_setting "${READ_POLICY}" on app.invoices`,
      '0074_setting_written v1.switch_tenant(text)',
    ],
    prove: {
      uproot: `drop function v1.switch_tenant(text); ${switchable.uproot}`,
      only: { relations: ['v1.switch_tenant()', 'v1.invoices'], verbs: ['call'] },
      at: /^v1\.switch_tenant\(\) · call · viewer · arguments/,
    },
  },
];
