import type { Mistake } from './mistake.ts';

/** With the logins' passwords, in a cluster that no other test works in: roles and parameters are all databases'. */
const stolen = (uproot: string, relation: string, at: RegExp): Mistake['prove'] => ({
  uproot,
  by: 'admin',
  where: 'a cluster of its own',
  only: { relations: [relation], verbs: ['session'] },
  at,
  beside: 'sessions',
});

const ROLES: Mistake[] = [
  {
    name: 'the worker got BYPASSRLS, since it saw no rows',
    source: 'raia-live/amfs#177; pgrls SEC016',
    plant: 'reset role; alter role rowhouse_worker bypassrls',
    doctor: ['0040_role_attribute rowhouse_worker'],
    prove: stolen(
      'alter role rowhouse_worker nobypassrls',
      'v1.files',
      /^v1\.files · session · rowhouse_worker · unsealed/,
    ),
  },
  {
    name: 'the API, and with it every test, runs as a superuser',
    source: 'nazarli-shabnam/clevis#335',
    plant: 'reset role; alter role authenticator superuser',
    doctor: ['0040_role_attribute authenticator'],
    prove: stolen(
      'alter role authenticator nosuperuser',
      'v1.files',
      /^v1\.files · session · authenticator · unsealed/,
    ),
  },
  {
    name: 'the API’s login is a member of the owner',
    source: 'postgresql.org ddl-rowsecurity (owners pass by); PostgREST auth.rst (NOINHERIT)',
    plant: 'reset role; grant rowhouse_owner to authenticator',
    doctor: ['0039_role_membership authenticator in rowhouse_owner'],
    prove: stolen(
      'revoke rowhouse_owner from authenticator',
      'v1.members',
      /^v1\.members · session · authenticator as rowhouse_owner · unsealed/,
    ),
  },
  {
    name: 'a client may set the variable that says whose the request is',
    source: 'postgresql.org 2011519.1598036899@sss.pgh.pa.us',
    plant: 'reset role; grant set on parameter backtrace_functions to tenant_user',
    doctor: ['0036_seal_setting_granted tenant_user'],
    prove: stolen(
      'revoke set on parameter backtrace_functions from tenant_user',
      'v1.files',
      /^v1\.files · session · authenticator as tenant_user · setting/,
    ),
  },
  {
    name: 'clients reach the tables of the queue',
    source: 'splinter 0019 (insecure_queue_exposed_in_api)',
    plant: 'reset role; grant usage on schema pgboss to tenant_user',
    doctor: ['0030_closed_schema_granted pgboss for tenant_user'],
    prove: { unreachable: 'PostgREST serves v1 and admin' },
  },
  {
    name: 'strangers may read, for the landing page',
    source: 'splinter 0026; CVE-2025-48757',
    plant: 'grant usage on schema v1 to anon; grant select on v1.files to anon',
    doctor: ['0022_anon_grant schema v1', '0022_anon_grant table v1.files'],
    prove: { unreachable: 'the gate lets nobody in without a token' },
  },
  {
    name: 'an extension was created where the API is',
    source: 'splinter 0014',
    plant: 'reset role; create extension citext with schema v1',
    doctor: ['0080_extension_misplaced citext', '0082_extension_function_granted v1.citextin(cstring) for tenant_user'],
    prove: { unreachable: 'its functions know no rows' },
  },
  {
    name: 'clients may read large objects',
    source: 'postgresql.org ddl-rowsecurity: large objects have no policies',
    plant: 'reset role; grant execute on function lo_get(oid) to tenant_user',
    doctor: ['0033_large_object_function_granted lo_get(oid) for tenant_user'],
    prove: { unreachable: 'no row is stored there' },
  },
];

const SERVER: Mistake[] = [
  {
    name: 'samples of every tenant’s values can be read in the statistics',
    source: 'CVE-2017-7484; CVE-2019-10130',
    plant: 'reset role; grant select on pg_statistic to tenant_user',
    doctor: ['0120_system_relation_granted pg_statistic for tenant_user'],
    prove: { unreachable: 'PostgREST does not serve pg_catalog' },
  },
  {
    name: 'the cluster was made before the view of statistics was mended',
    source: 'CVE-2024-4317 (postgresql.org release notes 14.12: a script to run by hand)',
    plant: `reset role; set local allow_system_table_mods = on;
      do $$ begin
        execute 'create or replace view pg_catalog.pg_stats_ext with (security_barrier) as '
          || replace(pg_get_viewdef('pg_stats_ext'), 'pg_has_role(c.relowner, ''USAGE''::text)', 'true');
      end $$`,
    doctor: ['0121_statistics_view_open pg_catalog.pg_stats_ext'],
    prove: { unreachable: 'PostgREST does not serve pg_catalog' },
  },
  {
    name: 'a name with a line break runs code where a dump is restored',
    source: 'CVE-2025-8714; CVE-2025-8715; omnibus-gitlab#9292',
    plant: String.raw`create table app.U&"x\000A\005C! id" (id integer)`,
    doctor: [String.raw`0122_object_name_hostile relation "x\n\\! id"`],
    prove: { unreachable: 'it is the restore that is attacked' },
  },
  ...[
    ['16.2', '160002', 'CVE-2024-4317'],
    ['17.0', '170000', 'CVE-2024-10976'],
    ['17.5', '170005', 'CVE-2025-8713'],
    ['18.1', '180001', 'CVE-2026-2005'],
  ].map(
    ([version, number, cve]): Mistake => ({
      name: `the server is ${version}, and open to ${cve}`,
      source: `${cve} (landscape 1.3)`,
      plant: `set local rowhouse.server_version_num = '${number}'`,
      doctor: [`0079_server_version_unsafe PostgreSQL ${version}`],
      prove: { unreachable: 'it takes that server; `start` and `migrate up` refuse it' },
    }),
  ),
];

export const ROLE_AND_SERVER_MISTAKES: Mistake[] = [...ROLES, ...SERVER];
