import type { Case } from './cases.ts';

const bare = (name: string) => `create table app.${name} (id integer);
  alter table app.${name} enable row level security, force row level security;`;

const fn = (name: string) =>
  `create function ${name}() returns integer language sql set search_path = '' as 'select 1';`;

/** What a grant on a table says in both directions. */
const granted = (name: string, privilege: string, role: string, verdict: string, options = ''): Case => ({
  name,
  setup: bare(name),
  alter: `grant ${privilege} on app.${name} to ${role}${options}`,
  there: [`${verdict}: grant granted to ${role} on table app.${name}: ${privilege}${options.toLowerCase()}`],
  back: [`safe grant-revoked: grant revoked from ${role} on table app.${name}: ${privilege}${options.toLowerCase()}`],
});

export const GRANTS: Case[] = [
  granted('to_user', 'select', 'tenant_user', 'review grant-added'),
  granted('to_public', 'select', 'PUBLIC', 'dangerous grant-to-strangers'),
  granted('to_anon', 'insert', 'anon', 'dangerous grant-to-strangers'),
  granted('to_authenticator', 'delete', 'authenticator', 'dangerous grant-to-strangers'),
  granted('to_truncate', 'truncate', 'tenant_user', 'dangerous grant-past-policies'),
  granted('to_reference', 'references', 'tenant_user', 'dangerous grant-past-policies'),
  granted('passed_on', 'select', 'tenant_user', 'dangerous grant-with-option', ' with grant option'),
  {
    name: 'some_columns',
    setup: `${bare('some_columns')} alter table app.some_columns add note text; grant select (id) on app.some_columns to operator;`,
    alter: 'revoke select (id) on app.some_columns from operator; grant update (note) on app.some_columns to operator',
    there: [
      'review grant-added: grant granted to operator on table app.some_columns: update (note)',
      'safe grant-revoked: grant revoked from operator on table app.some_columns: select (id)',
    ],
    back: [
      'review grant-added: grant granted to operator on table app.some_columns: select (id)',
      'safe grant-revoked: grant revoked from operator on table app.some_columns: update (note)',
    ],
  },
  {
    name: 'direct',
    setup: `create table app.direct (tenant_id tenancy.tenant_id not null, id integer, primary key (tenant_id, id)) partition by hash (tenant_id);
      select tenancy.protect('app.direct', partitions => 2);`,
    alter: 'grant select on app.direct_p00, app.direct_p01 to tenant_user',
    there: ['dangerous grant-on-partition: grant granted to tenant_user on 2 partitions of app.direct: select'],
    back: ['safe grant-revoked: grant revoked from tenant_user on 2 partitions of app.direct: select'],
  },
  {
    name: 'auth.operators',
    alter: 'grant select on auth.operators to operator',
    there: ['dangerous grant-on-keys: grant granted to operator on table auth.operators: select'],
    back: ['safe grant-revoked: grant revoked from operator on table auth.operators: select'],
  },
  {
    name: 'auth.sign_claims',
    alter: 'grant execute on function auth.sign_claims(jsonb) to tenant_user',
    superuser: true,
    there: ['dangerous grant-on-gate: grant granted to tenant_user on function auth.sign_claims(jsonb): execute'],
    back: ['safe grant-revoked: grant revoked from tenant_user on function auth.sign_claims(jsonb): execute'],
  },
  {
    name: 'backtrace_functions',
    alter: 'grant set on parameter backtrace_functions to rowhouse_worker',
    superuser: true,
    there: ['dangerous grant-on-seal: grant granted to rowhouse_worker on parameter backtrace_functions: set'],
    back: ['safe grant-revoked: grant revoked from rowhouse_worker on parameter backtrace_functions: set'],
  },
  {
    name: 'schema app',
    alter: 'grant create on schema app to tenant_user',
    there: ['dangerous grant-to-create: grant granted to tenant_user on schema app: create'],
    back: ['safe grant-revoked: grant revoked from tenant_user on schema app: create'],
  },
  {
    name: 'this database',
    alter:
      'do $$ begin execute format($q$alter database %I set work_mem = $q$, current_database()) || quote_literal($q$8MB$q$); end $$',
    superuser: true,
    there: ['review database-settings: database this database: settings none → work_mem=8MB'],
    back: ['review database-settings: database this database: settings work_mem=8MB → none'],
  },
  {
    name: 'lo_creat',
    alter: 'grant execute on function pg_catalog.lo_creat(integer) to tenant_user',
    superuser: true,
    there: ['dangerous grant-on-system: grant granted to tenant_user on function lo_creat(integer): execute'],
    back: ['safe grant-revoked: grant revoked from tenant_user on function lo_creat(integer): execute'],
  },
  {
    name: 'that rowhouse_owner makes in admin',
    alter: `alter default privileges in schema admin grant select on tables to tenant_user;
      alter default privileges in schema admin grant execute on functions to rowhouse_worker`,
    there: [
      'dangerous default-to-strangers: default privilege granted to tenant_user on tables that rowhouse_owner makes in admin: select',
      'review default-added: default privilege granted to rowhouse_worker on functions that rowhouse_owner makes in admin: execute',
    ],
    back: [
      'safe default-revoked: default privilege revoked from rowhouse_worker on functions that rowhouse_owner makes in admin: execute',
      'safe default-revoked: default privilege revoked from tenant_user on tables that rowhouse_owner makes in admin: select',
    ],
  },
  {
    name: 'functions that rowhouse_sealer makes',
    alter: 'alter default privileges for role rowhouse_sealer grant execute on functions to public',
    superuser: true,
    there: [
      'dangerous default-to-strangers: default privilege granted to PUBLIC on functions that rowhouse_sealer makes: execute',
    ],
    back: [
      'safe default-revoked: default privilege revoked from PUBLIC on functions that rowhouse_sealer makes: execute',
    ],
  },
];

export const CLUSTER: Case[] = [
  {
    name: 'role operator',
    alter: 'alter role operator bypassrls login',
    superuser: true,
    there: [
      'dangerous role-attribute-gained: role operator: login false → true',
      'dangerous role-past-the-wall: role operator: bypassrls false → true',
    ],
    back: [
      'safe role-attribute-lost: role operator: bypassrls true → false',
      'safe role-attribute-lost: role operator: login true → false',
    ],
  },
  {
    name: 'role rowhouse_edge',
    alter: `alter role rowhouse_edge set statement_timeout = '1s'`,
    superuser: true,
    there: [
      'review role-settings: role rowhouse_edge: settings idle_in_transaction_session_timeout=30s, statement_timeout=15s → idle_in_transaction_session_timeout=30s, statement_timeout=1s',
    ],
    back: [
      'review role-settings: role rowhouse_edge: settings idle_in_transaction_session_timeout=30s, statement_timeout=1s → idle_in_transaction_session_timeout=30s, statement_timeout=15s',
    ],
  },
  {
    name: 'guest',
    alter: 'create role guest login; create role guest_admin createrole',
    superuser: true,
    there: ['dangerous role-added-past-the-wall: role guest_admin added', 'review role-added: role guest added'],
    back: ['safe role-dropped: role guest dropped', 'safe role-dropped: role guest_admin dropped'],
  },
  {
    name: 'rowhouse_edge in rowhouse_owner',
    alter: 'grant rowhouse_owner to rowhouse_edge',
    superuser: true,
    there: ['dangerous membership-added: membership of rowhouse_edge in rowhouse_owner added'],
    back: ['safe membership-dropped: membership of rowhouse_edge in rowhouse_owner dropped'],
  },
  {
    name: 'authenticator in anon',
    alter: 'grant anon to authenticator with inherit true',
    superuser: true,
    there: ['dangerous membership-widened: membership of authenticator in anon: inherit false → true'],
    back: ['safe membership-narrowed: membership of authenticator in anon: inherit true → false'],
  },
  {
    name: 'tsm_system_rows',
    alter:
      'create extension tsm_system_rows schema extensions; revoke all on function extensions.system_rows(internal) from public',
    superuser: true,
    there: ['review extension-added: extension tsm_system_rows added'],
    back: ['review extension-dropped: extension tsm_system_rows dropped'],
  },
  {
    name: 'refint',
    setup: `reset role; create extension refint schema extensions; revoke all on all functions in schema extensions from public`,
    alter: `update pg_extension set extversion = '0.9' where extname = 'refint'`,
    superuser: true,
    there: ['review extension-changed: extension refint: version 1.0 → 0.9'],
    back: ['review extension-changed: extension refint: version 0.9 → 1.0'],
  },
  {
    name: 'leaving',
    setup: bare('leaving'),
    alter: 'create publication leaving for table app.leaving',
    superuser: true,
    there: ['dangerous publication-opened: publication leaving added'],
    back: ['safe publication-dropped: publication leaving dropped'],
  },
  {
    name: 'pouring',
    setup: `${bare('pouring')} create publication pouring`,
    alter: 'alter publication pouring add table app.pouring',
    superuser: true,
    there: ['dangerous publication-changed: publication pouring: tables none → app.pouring'],
    back: ['dangerous publication-changed: publication pouring: tables app.pouring → none'],
  },
];

export const REST: Case[] = [
  {
    name: 'annex',
    alter: 'create schema annex',
    there: ['review schema-added: schema annex added'],
    back: ['safe schema-dropped: schema annex dropped'],
  },
  {
    name: 'rewritten',
    setup: bare('rewritten'),
    alter: 'create rule rewritten as on update to app.rewritten do instead nothing',
    there: ['dangerous rule-added: CREATE RULE rewritten AS added'],
    back: ['review catalogue-dropped: CREATE RULE rewritten AS dropped'],
  },
  {
    name: 'on_every_change',
    setup: `create function app.on_every_change() returns event_trigger language plpgsql set search_path = '' as 'begin end'`,
    alter:
      "create event trigger on_every_change on ddl_command_end when tag in ('CREATE CAST') execute function app.on_every_change()",
    superuser: true,
    there: [
      'review event-trigger: event trigger on_every_change ddl_command_end app.on_every_change {"CREATE CAST"} O added',
    ],
    back: [
      'review catalogue-dropped: event trigger on_every_change ddl_command_end app.on_every_change {"CREATE CAST"} O dropped',
    ],
  },
  {
    name: 'mood',
    alter: `create type app.mood as enum ('fine')`,
    there: [`review catalogue-added: type app.mood e default 'fine' added`],
    back: [`review catalogue-dropped: type app.mood e default 'fine' dropped`],
  },
  {
    name: 'counter',
    alter: 'create sequence app.counter',
    there: [
      'safe sequence: sequence app.counter bigint start 1 by 1 min 1 max 9223372036854775807 cache 1 owned by added',
    ],
    back: [
      'safe sequence-gone: sequence app.counter bigint start 1 by 1 min 1 max 9223372036854775807 cache 1 owned by dropped',
    ],
  },
  {
    name: 'said',
    setup: fn('app.said'),
    alter: `comment on function app.said() is 'hello'`,
    there: ['safe comment: comment function app.said() changed'],
    back: ['safe comment: comment function app.said() changed'],
  },
];
