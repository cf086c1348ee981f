import type { Mistake } from './mistake.ts';

export const VIEW_MISTAKES: Mistake[] = [
  {
    name: 'a view runs with its owner’s rights',
    source: 'PostgREST docs/explanations/db_authz.rst; splinter 0010; pgrls VIEW001',
    plant:
      'create view v1.people as select tenant_id, user_id, role from tenancy.members; grant select on v1.people to tenant_user',
    doctor: ['0063_view_not_security_invoker v1.people'],
    prove: {
      uproot: 'drop view v1.people',
      only: { relations: ['v1.people'], families: ['read'] },
      at: /^v1\.people · select · viewer · read/,
    },
  },
  {
    name: 'the directory of tenants is in the API',
    source: 'splinter 0002 (auth_users_exposed)',
    plant:
      'create view v1.organisations as select id, slug, name from tenancy.tenants; grant select on v1.organisations to tenant_user',
    doctor: ['0063_view_not_security_invoker v1.organisations'],
    prove: {
      uproot: 'drop view v1.organisations',
      only: { relations: ['v1.organisations'], families: ['read'] },
      at: /^v1\.organisations · select · viewer · read/,
    },
  },
  {
    name: 'a materialized view is in the API',
    source: 'splinter 0016; pgrls VIEW003',
    plant: `create materialized view v1.roster as select tenant_id, user_id, role from tenancy.members;
      grant select on v1.roster to tenant_user`,
    doctor: ['0065_materialized_view_exposed v1.roster'],
    prove: {
      uproot: 'drop materialized view v1.roster',
      only: { relations: ['v1.roster'], families: ['read'] },
      at: /^v1\.roster · select · viewer · read/,
    },
  },
  {
    name: 'a foreign table is in the API',
    source: 'splinter 0017',
    plant: `reset role; create extension postgres_fdw with schema extensions; create server elsewhere foreign data wrapper postgres_fdw;
      create foreign table v1.elsewhere (id integer) server elsewhere; alter foreign table v1.elsewhere owner to rowhouse_owner;
      grant select on v1.elsewhere to tenant_user`,
    doctor: ['0066_foreign_table_exposed v1.elsewhere'],
    prove: { unreachable: 'there is no server behind it' },
  },
  {
    name: 'a secret is a column of the API',
    source: 'splinter 0023; supabase#11745 (column-level rights)',
    plant: `alter table app.folders add column api_secret text;
      create or replace view v1.folders with (security_invoker = true) as select tenant_id, id, parent_id, name, api_secret from app.folders`,
    doctor: ['0067_sensitive_column_exposed v1.folders.api_secret'],
    prove: { unreachable: 'it stays in its tenant' },
  },
];
