/** A small alteration, and what `rowhouse diff` has to say of it in both directions. */
export interface Case {
  /** Every object of the case has it in its name, and no object of another case. */
  name: string;
  /** What is there before. */
  setup?: string;
  alter: string;
  /** Statements that the owner may not run run as the superuser. */
  superuser?: boolean;
  there: string[];
  back: string[];
}

const columns = `tenant_id tenancy.tenant_id not null default request.tenant_id(), id uuid not null default uuidv7(), title text`;

/** A table behind the wall, in two partitions. */
const table = (name: string, more = '') => `
  create table app.${name} (${columns}, constraint ${name}_pkey primary key (tenant_id, id)${more}) partition by hash (tenant_id);
  select tenancy.protect('app.${name}', partitions => 2, ledger => false);`;

/** A table with forced row-level security and nothing else. */
const bare = (name: string, definition: string) => `
  create table app.${name} (${definition});
  alter table app.${name} enable row level security, force row level security;`;

const OWN = 'tenant_id = request.tenant_id()';
const fn = (name: string, attributes = `set search_path = ''`, body = 'select 1') =>
  `create or replace function ${name}() returns integer language sql ${attributes} as $$${body}$$;`;

export const RELATIONS: Case[] = [
  {
    name: 'rls_off',
    setup: table('rls_off'),
    alter: 'alter table app.rls_off disable row level security',
    there: ['dangerous rls-off: table app.rls_off: rls true → false'],
    back: ['safe rls-on: table app.rls_off: rls false → true'],
  },
  {
    name: 'force_off',
    setup: table('force_off'),
    alter: 'alter table app.force_off no force row level security',
    there: ['dangerous force-off: table app.force_off: forced true → false'],
    back: ['safe force-on: table app.force_off: forced false → true'],
  },
  {
    name: 'open_partitions',
    setup: table('open_partitions'),
    alter:
      'alter table app.open_partitions_p00 disable row level security; alter table app.open_partitions_p01 disable row level security',
    there: ['dangerous rls-off: 2 partitions of app.open_partitions: rls true → false'],
    back: ['safe rls-on: 2 partitions of app.open_partitions: rls false → true'],
  },
  {
    name: 'one_open_partition',
    setup: table('one_open_partition'),
    alter: 'alter table app.one_open_partition_p01 no force row level security',
    there: ['dangerous force-off: partition app.one_open_partition_p01: forced true → false'],
    back: ['safe force-on: partition app.one_open_partition_p01: forced false → true'],
  },
  {
    name: 'repartitioned',
    setup: bare('repartitioned', `${columns}`),
    alter: `drop table app.repartitioned; create table app.repartitioned (${columns}) partition by hash (tenant_id);
      alter table app.repartitioned enable row level security, force row level security;`,
    there: ['review partitioning-changed: table app.repartitioned: partition key none → HASH (tenant_id)'],
    back: ['dangerous partitioning-lost: table app.repartitioned: partition key HASH (tenant_id) → none'],
  },
  {
    name: 'subpartitioned',
    setup: table('subpartitioned'),
    alter: `drop table app.subpartitioned_p01; create table app.subpartitioned_p01 partition of app.subpartitioned
      for values with (modulus 2, remainder 1) partition by hash (tenant_id);
      alter table app.subpartitioned_p01 enable row level security, force row level security;`,
    there: ['review partition-key-changed: partition app.subpartitioned_p01: partition key none → HASH (tenant_id)'],
    back: ['review partition-key-changed: partition app.subpartitioned_p01: partition key HASH (tenant_id) → none'],
  },
  {
    name: 'sold',
    setup: table('sold'),
    alter: 'alter table app.sold owner to rowhouse_sealer',
    superuser: true,
    there: ['dangerous owner-changed: table app.sold: owner rowhouse_owner → rowhouse_sealer'],
    back: ['review owner-restored: table app.sold: owner rowhouse_sealer → rowhouse_owner'],
  },
  {
    name: 'unprotected',
    alter: `create table app.unprotected (${columns})`,
    there: [
      'dangerous table-open: table app.unprotected added',
      'safe tenant-column-added: column app.unprotected.tenant_id added',
    ],
    back: ['safe relation-dropped: table app.unprotected dropped'],
  },
  {
    name: 'mixed',
    alter: bare('mixed', 'id integer'),
    there: ['dangerous table-without-tenant: table app.mixed added'],
    back: ['safe relation-dropped: table app.mixed dropped'],
  },
  {
    name: 'reference_list',
    alter: 'create table tenancy.reference_list (id integer)',
    there: ['review table-plain: table tenancy.reference_list added'],
    back: ['safe relation-dropped: table tenancy.reference_list dropped'],
  },
  {
    name: 'newcomer',
    alter: table('newcomer'),
    there: [
      'review policy-added: policy "A member reads the rows of their tenant" on app.newcomer added',
      'review policy-added: policy "A service works within its sealed tenant" on app.newcomer added',
      'review policy-added: policy "A writer adds rows to their tenant" on app.newcomer added',
      'review policy-added: policy "A writer changes rows of their tenant" on app.newcomer added',
      'review policy-added: policy "A writer deletes rows of their tenant" on app.newcomer added',
      'safe tenant-column-added: column app.newcomer.tenant_id added',
      'safe constraint-added: constraint newcomer_pkey on app.newcomer added',
      'safe table-added: 2 partitions of app.newcomer added',
      'safe table-added: table app.newcomer added',
    ],
    back: ['safe relation-dropped: table app.newcomer dropped'],
  },
  {
    name: 'owners_eyes',
    alter: 'create view v1.owners_eyes as select 1 as one',
    there: ['dangerous view-as-owner: view v1.owners_eyes added'],
    back: ['safe relation-dropped: view v1.owners_eyes dropped'],
  },
  {
    name: 'callers_eyes',
    alter: 'create view v1.callers_eyes with (security_invoker = true) as select 1 as one',
    there: ['review view-added: view v1.callers_eyes added'],
    back: ['safe relation-dropped: view v1.callers_eyes dropped'],
  },
  {
    name: 'frozen_copy',
    alter: 'create materialized view app.frozen_copy as select 1 as one',
    there: ['dangerous copy-added: materialized view app.frozen_copy added'],
    back: ['safe relation-dropped: materialized view app.frozen_copy dropped'],
  },
  {
    name: 'invoker_lost',
    setup: 'create view v1.invoker_lost with (security_invoker = true) as select 1 as one',
    alter: 'alter view v1.invoker_lost reset (security_invoker)',
    there: ['dangerous invoker-lost: view v1.invoker_lost: security invoker true → false'],
    back: ['safe invoker-gained: view v1.invoker_lost: security invoker false → true'],
  },
  {
    name: 'barrier',
    setup: 'create view v1.barrier with (security_invoker = true) as select 1 as one',
    alter: 'alter view v1.barrier set (security_barrier = true)',
    there: ['review view-option: view v1.barrier: security barrier false → true'],
    back: ['review view-option: view v1.barrier: security barrier true → false'],
  },
  {
    name: 'wider_view',
    setup: 'create view v1.wider_view with (security_invoker = true) as select 1 as one',
    alter: 'create or replace view v1.wider_view with (security_invoker = true) as select 1 as one, 2 as two',
    there: [
      'review view-column-added: column v1.wider_view.two added',
      'review view-definition: view v1.wider_view: definition changed',
    ],
    back: [
      'review view-definition: view v1.wider_view: definition changed',
      'safe column-dropped: column v1.wider_view.two dropped',
    ],
  },
];

export const COLUMNS: Case[] = [
  {
    name: 'loose_tenant',
    setup: bare('loose_tenant', columns),
    alter: 'alter table app.loose_tenant alter tenant_id drop not null',
    there: ['dangerous tenant-nullable: column app.loose_tenant.tenant_id: not null true → false'],
    back: ['safe tenant-not-null: column app.loose_tenant.tenant_id: not null false → true'],
  },
  {
    name: 'any_text_tenant',
    setup: bare('any_text_tenant', columns),
    alter: 'alter table app.any_text_tenant alter tenant_id type text collate "C"',
    there: ['dangerous tenant-type: column app.any_text_tenant.tenant_id: type tenancy.tenant_id → text'],
    back: ['review column-changed: column app.any_text_tenant.tenant_id: type text → tenancy.tenant_id'],
  },
  {
    name: 'undefaulted_tenant',
    setup: bare('undefaulted_tenant', columns),
    alter: `alter table app.undefaulted_tenant alter tenant_id set default 't_acme'`,
    there: [
      `dangerous tenant-default: column app.undefaulted_tenant.tenant_id: default request.tenant_id() → 't_acme'::text`,
    ],
    back: [
      `safe tenant-default-sealed: column app.undefaulted_tenant.tenant_id: default 't_acme'::text → request.tenant_id()`,
    ],
  },
  {
    name: 'weak_tenant',
    setup: bare('weak_tenant', 'id integer'),
    alter: 'alter table app.weak_tenant add tenant_id text',
    there: ['dangerous tenant-column-weak: column app.weak_tenant.tenant_id added'],
    back: ['dangerous tenant-column-dropped: column app.weak_tenant.tenant_id dropped'],
  },
  {
    name: 'more_columns',
    setup: table('more_columns'),
    alter: 'alter table app.more_columns add note text; alter table app.more_columns alter title type varchar(9)',
    there: [
      'review column-changed: column app.more_columns.title: type text → character varying(9)',
      'safe column-added: column app.more_columns.note added',
    ],
    back: [
      'review column-changed: column app.more_columns.title: type character varying(9) → text',
      'safe column-dropped: column app.more_columns.note dropped',
    ],
  },
];

const policy = (name: string, rest: string) => `create policy "${name}" on app.${name} ${rest}`;
export const POLICIES: Case[] = [
  {
    name: 'untied_policy',
    setup: table('untied_policy'),
    alter: policy('untied_policy', 'for select to tenant_user using (true)'),
    there: ['dangerous policy-untied: policy untied_policy on app.untied_policy added'],
    back: ['safe policy-dropped: policy untied_policy on app.untied_policy dropped'],
  },
  {
    name: 'public_policy',
    setup: table('public_policy'),
    alter: policy('public_policy', `for select using (${OWN})`),
    there: ['dangerous policy-for-strangers: policy public_policy on app.public_policy added'],
    back: ['safe policy-dropped: policy public_policy on app.public_policy dropped'],
  },
  {
    name: 'restrained',
    setup: table('restrained'),
    alter: policy('restrained', `as restrictive for select to tenant_user using (title <> 'secret')`),
    there: ['safe restriction-added: policy restrained on app.restrained added'],
    back: ['dangerous restriction-dropped: policy restrained on app.restrained dropped'],
  },
  {
    name: 'turned_restrictive',
    setup: `${table('turned_restrictive')} ${policy('turned_restrictive', `for select to tenant_user using (${OWN})`)}`,
    alter: `drop policy turned_restrictive on app.turned_restrictive;
      ${policy('turned_restrictive', `as restrictive for select to tenant_user using (${OWN})`)}`,
    there: ['safe policy-restrictive: policy turned_restrictive on app.turned_restrictive: permissive true → false'],
    back: ['dangerous policy-permissive: policy turned_restrictive on app.turned_restrictive: permissive false → true'],
  },
  {
    name: 'policy_to_anon',
    setup: `${table('policy_to_anon')} ${policy('policy_to_anon', `for select to tenant_user using (${OWN})`)}`,
    alter: 'alter policy policy_to_anon on app.policy_to_anon to tenant_user, anon',
    there: [
      'dangerous policy-roles-strangers: policy policy_to_anon on app.policy_to_anon: roles tenant_user → anon, tenant_user',
    ],
    back: [
      'safe policy-roles-stricter: policy policy_to_anon on app.policy_to_anon: roles anon, tenant_user → tenant_user',
    ],
  },
  {
    name: 'policy_of_sealer',
    setup: `${table('policy_of_sealer')} ${policy('policy_of_sealer', 'for select to rowhouse_sealer using (true)')}`,
    alter: 'alter policy policy_of_sealer on app.policy_of_sealer to rowhouse_sealer, rowhouse_worker',
    there: [
      'dangerous policy-roles-untied: policy policy_of_sealer on app.policy_of_sealer: roles rowhouse_sealer → rowhouse_sealer, rowhouse_worker',
    ],
    back: [
      'safe policy-roles-stricter: policy policy_of_sealer on app.policy_of_sealer: roles rowhouse_sealer, rowhouse_worker → rowhouse_sealer',
    ],
  },
  {
    name: 'policy_widened',
    setup: `${table('policy_widened')} ${policy('policy_widened', `for select to tenant_user using (${OWN})`)}`,
    alter: 'alter policy policy_widened on app.policy_widened to tenant_user, rowhouse_worker',
    there: [
      'review policy-roles-widened: policy policy_widened on app.policy_widened: roles tenant_user → rowhouse_worker, tenant_user',
    ],
    back: [
      'safe policy-roles-stricter: policy policy_widened on app.policy_widened: roles rowhouse_worker, tenant_user → tenant_user',
    ],
  },
  {
    name: 'restriction_narrowed',
    setup: `${table('restriction_narrowed')}
      ${policy('restriction_narrowed', `as restrictive for select to tenant_user, operator using (title <> '')`)}`,
    alter: 'alter policy restriction_narrowed on app.restriction_narrowed to operator',
    there: [
      'dangerous restriction-roles-narrowed: policy restriction_narrowed on app.restriction_narrowed: roles operator, tenant_user → operator',
    ],
    back: [
      'safe policy-roles-stricter: policy restriction_narrowed on app.restriction_narrowed: roles operator → operator, tenant_user',
    ],
  },
  {
    name: 'untied_by_or',
    setup: `${table('untied_by_or')} ${policy('untied_by_or', `for select to tenant_user using (${OWN})`)}`,
    alter: `alter policy untied_by_or on app.untied_by_or using (${OWN} or title = 'shared')`,
    there: [
      `dangerous policy-condition-untied: policy untied_by_or on app.untied_by_or: using ((tenant_id)::text = request.tenant_id()) → (((tenant_id)::text = request.tenant_id()) OR (title = 'shared'::text))`,
    ],
    back: [
      `review policy-condition: policy untied_by_or on app.untied_by_or: using (((tenant_id)::text = request.tenant_id()) OR (title = 'shared'::text)) → ((tenant_id)::text = request.tenant_id())`,
    ],
  },
  {
    name: 'stricter_check',
    setup: `${table('stricter_check')} ${policy('stricter_check', `for insert to tenant_user with check (${OWN})`)}`,
    alter: `alter policy stricter_check on app.stricter_check with check (${OWN} and request.has_tenant_role('owner'))`,
    there: [
      `review policy-condition: policy stricter_check on app.stricter_check: check ((tenant_id)::text = request.tenant_id()) → (((tenant_id)::text = request.tenant_id()) AND request.has_tenant_role('owner'::text))`,
    ],
    back: [
      `review policy-condition: policy stricter_check on app.stricter_check: check (((tenant_id)::text = request.tenant_id()) AND request.has_tenant_role('owner'::text)) → ((tenant_id)::text = request.tenant_id())`,
    ],
  },
];

const alterTable = (name: string, rest: string) => `alter table app.${name} ${rest};`;
export const KEYS: Case[] = [
  {
    name: 'oracle_key',
    setup: table('oracle_key'),
    alter: alterTable('oracle_key', 'add constraint oracle_key_title unique (title, tenant_id)'),
    there: ['dangerous key-without-tenant: constraint oracle_key_title on app.oracle_key added'],
    back: ['safe leaderless-key-dropped: constraint oracle_key_title on app.oracle_key dropped'],
  },
  {
    name: 'turned_key',
    setup: table('turned_key', ', constraint turned_key_title unique (tenant_id, title)'),
    alter: alterTable(
      'turned_key',
      'drop constraint turned_key_title, add constraint turned_key_title unique (title, tenant_id)',
    ),
    there: ['dangerous key-lost-tenant: constraint turned_key_title on app.turned_key: definition changed'],
    back: ['review constraint-changed: constraint turned_key_title on app.turned_key: definition changed'],
  },
  {
    name: 'parentage',
    setup: table('parentage', ', parent uuid'),
    alter: alterTable(
      'parentage',
      'add constraint parentage_fkey foreign key (tenant_id, parent) references app.parentage',
    ),
    there: ['safe constraint-added: constraint parentage_fkey on app.parentage added'],
    back: ['review key-dropped: constraint parentage_fkey on app.parentage dropped'],
  },
  {
    name: 'checked',
    setup: table('checked'),
    alter: alterTable('checked', `add constraint checked_title check (title <> '')`),
    there: ['safe constraint-added: constraint checked_title on app.checked added'],
    back: ['review check-dropped: constraint checked_title on app.checked dropped'],
  },
  {
    name: 'validated',
    setup: `${table('validated')} ${alterTable('validated', `add constraint validated_title check (title <> '') not valid`)}`,
    alter: alterTable('validated', 'validate constraint validated_title'),
    there: ['safe constraint-validated: constraint validated_title on app.validated: validated false → true'],
    back: ['review constraint-unvalidated: constraint validated_title on app.validated: validated true → false'],
  },
  {
    name: 'oracle_index',
    setup: table('oracle_index'),
    alter: 'create unique index oracle_index_title on app.oracle_index (title, tenant_id)',
    there: ['dangerous unique-index-without-tenant: index app.oracle_index_title added'],
    back: ['safe index-dropped: index app.oracle_index_title dropped'],
  },
  {
    name: 'turned_index',
    setup: `${table('turned_index')} create unique index turned_index_title on app.turned_index (tenant_id, title);`,
    alter:
      'drop index app.turned_index_title; create unique index turned_index_title on app.turned_index (title, tenant_id)',
    there: ['dangerous unique-index-lost-tenant: index app.turned_index_title: definition changed'],
    back: ['safe index-changed: index app.turned_index_title: definition changed'],
  },
  {
    name: 'scanning_index',
    setup: table('scanning_index'),
    alter: 'create index scanning_index_title on app.scanning_index (title)',
    there: ['review index-without-tenant: index app.scanning_index_title added'],
    back: ['safe index-dropped: index app.scanning_index_title dropped'],
  },
  {
    name: 'astray_index',
    setup: `${table('astray_index')} create index astray_index_title on app.astray_index (tenant_id, title);`,
    alter: 'drop index app.astray_index_title; create index astray_index_title on app.astray_index (title, tenant_id)',
    there: ['review index-lost-tenant: index app.astray_index_title: definition changed'],
    back: ['safe index-changed: index app.astray_index_title: definition changed'],
  },
  {
    name: 'unique_index',
    setup: table('unique_index'),
    alter: 'create unique index unique_index_title on app.unique_index (tenant_id, title)',
    there: ['safe index-added: index app.unique_index_title added'],
    back: ['review unique-index-dropped: index app.unique_index_title dropped'],
  },
  {
    name: 'common_index',
    setup: `${table('common_index')} create unique index common_index_title on app.common_index (tenant_id, title);`,
    alter: 'drop index app.common_index_title; create index common_index_title on app.common_index (tenant_id, title)',
    there: [
      'review unique-lost: index app.common_index_title: unique true → false',
      'safe index-changed: index app.common_index_title: definition changed',
    ],
    back: [
      'safe index-changed: index app.common_index_title: definition changed',
      'safe index-changed: index app.common_index_title: unique false → true',
    ],
  },
  {
    name: 'broken_index',
    setup: `${table('broken_index')} create index broken_index_title on only app.broken_index (tenant_id, title);`,
    alter: 'drop index app.broken_index_title; create index broken_index_title on app.broken_index (tenant_id, title)',
    there: ['safe index-changed: index app.broken_index_title: valid false → true'],
    back: ['review index-invalid: index app.broken_index_title: valid true → false'],
  },
];

const PINNED = `set search_path = ''`;
const unpin = (name: string) => `alter function app.${name}() reset search_path`;
export const FUNCTIONS: Case[] = [
  {
    name: 'commented',
    setup: fn('app.commented', PINNED, "select length('-- a')"),
    alter: fn('app.commented', PINNED, " -- why\n  select length('-- a')"),
    there: ['safe body-comments: function app.commented(): body changed'],
    back: ['safe body-comments: function app.commented(): body changed'],
  },
  {
    name: 'quoted_comment',
    setup: fn('app.quoted_comment', PINNED, "select length('-- a')"),
    alter: fn('app.quoted_comment', PINNED, "select length('-- b')"),
    there: ['review function-changed: function app.quoted_comment(): body changed'],
    back: ['review function-changed: function app.quoted_comment(): body changed'],
  },
  {
    name: 'nested_comment',
    setup: fn('app.nested_comment', PINNED, 'select 1 /* /* */ a */'),
    alter: fn('app.nested_comment', PINNED, 'select 1 /* /* */ b */'),
    there: ['review function-changed: function app.nested_comment(): body changed'],
    back: ['review function-changed: function app.nested_comment(): body changed'],
  },
  {
    name: 'estimated',
    setup: fn('app.estimated'),
    alter: 'alter function app.estimated() cost 7',
    there: ['safe planning-estimate: function app.estimated(): planning cost 100 rows 0 → cost 7 rows 0'],
    back: ['safe planning-estimate: function app.estimated(): planning cost 7 rows 0 → cost 100 rows 0'],
  },
  {
    name: 'request.header',
    alter: `create or replace function request.header(header_name text) returns text language sql stable security invoker parallel safe
      return lower(nullif(current_setting('request.headers', true), '')::json ->> header_name)`,
    there: ['dangerous guard-changed: function request.header(text): body changed'],
    back: ['dangerous guard-changed: function request.header(text): body changed'],
  },
  {
    name: 'request.extra',
    alter: fn('request.extra'),
    there: ['review guard-added: function request.extra() added'],
    back: ['dangerous guard-dropped: function request.extra() dropped'],
  },
  {
    name: 'leaky',
    setup: fn('app.leaky'),
    alter: 'alter function app.leaky() leakproof',
    superuser: true,
    there: ['dangerous leakproof: function app.leaky(): leakproof false → true'],
    back: ['safe not-leakproof: function app.leaky(): leakproof true → false'],
  },
  {
    name: 'unpinned_definer',
    setup: fn('app.unpinned_definer', `security definer ${PINNED}`),
    alter: unpin('unpinned_definer'),
    there: ['dangerous search-path-lost: function app.unpinned_definer(): settings search_path="" → none'],
    back: ['review function-changed: function app.unpinned_definer(): settings none → search_path=""'],
  },
  {
    name: 'turned_definer',
    setup: fn('app.turned_definer'),
    alter: 'alter function app.turned_definer() security definer',
    there: ['review definer: function app.turned_definer(): definer false → true'],
    back: ['safe invoker: function app.turned_definer(): definer true → false'],
  },
  {
    name: 'careless_definer',
    setup: fn('app.careless_definer', ''),
    alter: 'alter function app.careless_definer() security definer',
    there: ['dangerous definer-unpinned: function app.careless_definer(): definer false → true'],
    back: ['safe invoker: function app.careless_definer(): definer true → false'],
  },
  {
    name: 'new_definer',
    alter: fn('app.new_definer', `security definer ${PINNED}`),
    there: ['review definer-added: function app.new_definer() added'],
    back: ['safe function-dropped: function app.new_definer() dropped'],
  },
  {
    name: 'new_careless_definer',
    alter: fn('app.new_careless_definer', 'security definer'),
    there: ['dangerous definer-unpinned-added: function app.new_careless_definer() added'],
    back: ['safe function-dropped: function app.new_careless_definer() dropped'],
  },
  {
    name: 'new_planned_definer',
    alter: fn('app.new_planned_definer', `set enable_seqscan = 'off' security definer ${PINNED} set work_mem = '8MB'`),
    there: ['review definer-added: function app.new_planned_definer() added'],
    back: ['safe function-dropped: function app.new_planned_definer() dropped'],
  },
  {
    name: 'new_half_pinned_definer',
    alter: fn('app.new_half_pinned_definer', `security definer set search_path = '', app`),
    there: ['dangerous definer-unpinned-added: function app.new_half_pinned_definer() added'],
    back: ['safe function-dropped: function app.new_half_pinned_definer() dropped'],
  },
  {
    name: 'new_call',
    alter: fn('v1.new_call'),
    there: ['review api-function-added: function v1.new_call() added'],
    back: ['safe function-dropped: function v1.new_call() dropped'],
  },
  {
    name: 'inner_part',
    alter: fn('app.inner_part'),
    there: ['safe function-added: function app.inner_part() added'],
    back: ['safe function-dropped: function app.inner_part() dropped'],
  },
];

const trigger = (name: string, rest: string) => `create or replace trigger ${name} ${rest};`;
export const TRIGGERS: Case[] = [
  {
    name: 'clocked',
    setup: table('clocked', ', updated_at timestamptz'),
    alter: 'drop trigger touch on app.clocked',
    there: ['review clock-trigger: trigger touch on app.clocked dropped'],
    back: ['safe clock-trigger-added: trigger touch on app.clocked added'],
  },
  {
    name: 'followed',
    setup: table('followed'),
    alter: `select ledger.follow('app.followed')`,
    there: ['delete', 'insert', 'update'].map(
      (verb) => `safe ledger-trigger-added: trigger ledger_${verb} on app.followed added`,
    ),
    back: ['delete', 'insert', 'update'].map(
      (verb) => `dangerous ledger-trigger-dropped: trigger ledger_${verb} on app.followed dropped`,
    ),
  },
  {
    name: 'guarded',
    setup: table('guarded'),
    alter: trigger('guard', 'before insert on app.guarded for each row execute function app.guard_job()'),
    there: ['review trigger-added: trigger guard on app.guarded added'],
    back: ['dangerous guard-trigger-dropped: trigger guard on app.guarded dropped'],
  },
  {
    name: 'sleeping',
    setup: `${table('sleeping')} ${trigger('guard', 'before insert on app.sleeping for each row execute function app.guard_job()')}`,
    alter: 'alter table app.sleeping disable trigger guard',
    there: ['dangerous trigger-disabled: trigger guard on app.sleeping: enabled yes → no'],
    back: ['safe trigger-enabled: trigger guard on app.sleeping: enabled no → yes'],
  },
  {
    name: 'shifted',
    setup: `${table('shifted')} ${trigger('guard', 'before insert on app.shifted for each row execute function app.guard_job()')}`,
    alter: trigger('guard', 'before update on app.shifted for each row execute function app.guard_job()'),
    there: ['review trigger-changed: trigger guard on app.shifted: definition changed'],
    back: ['review trigger-changed: trigger guard on app.shifted: definition changed'],
  },
];
