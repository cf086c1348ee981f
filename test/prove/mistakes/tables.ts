import { byHand, drop, type Mistake } from './mistake.ts';

const folderPartitions = [0, 1, 2, 3].map((nth) => `app.folders_p0${nth}`);

export const TABLE_MISTAKES: Mistake[] = [
  {
    name: 'a new table is in the API, and nobody switched row-level security on',
    source: 'CVE-2025-48757; splinter 0013; pgrls SEC001',
    plant: byHand('memos', 'id uuid not null default uuidv7(), body text not null, primary key (tenant_id, id)'),
    doctor: ['0001_rls_disabled app.memos', '0047_table_not_hash_partitioned app.memos'],
    prove: {
      uproot: drop('memos'),
      only: { relations: ['v1.memos'], families: ['read'] },
      at: /^v1\.memos · select · viewer · read/,
    },
  },
  {
    name: 'the column that says whose a row is has another name, and the audit goes by names',
    source: 'mosamlife/wpmgr#550; DeskcommCRM#386 (a fixed list of tables)',
    plant: `create table app.payments (account_id tenancy.tenant_id not null, id uuid not null default uuidv7(), reference text not null, primary key (account_id, id));
      create view v1.payments with (security_invoker = true) as select * from app.payments;
      grant select on app.payments, v1.payments to tenant_user`,
    doctor: [
      '0005_unprotected_table_granted app.payments for tenant_user (select)',
      '0044_tenant_column_missing app.payments',
    ],
    prove: {
      uproot: drop('payments'),
      only: { relations: ['v1.payments'], families: ['read'] },
      at: /^v1\.payments · select · viewer · read/,
    },
  },
  {
    name: 'a copy of a table, made before a migration, is still there',
    source: 'create table as: neither policies nor keys come along (postgresql.org, CREATE TABLE AS)',
    plant: `create table app.invoices_before as table app.invoices;
      create view v1.invoices_before with (security_invoker = true) as select * from app.invoices_before;
      grant select on app.invoices_before, v1.invoices_before to tenant_user`,
    doctor: ['0001_rls_disabled app.invoices_before', '0045_tenant_column_nullable app.invoices_before'],
    prove: {
      uproot: drop('invoices_before'),
      only: { relations: ['v1.invoices_before'], families: ['read'] },
      at: /^v1\.invoices_before · select · viewer · read/,
    },
  },
  {
    name: 'row-level security is on but not forced, and a function runs as the owner',
    source: 'postgresql.org ddl-rowsecurity; pgrls SEC002',
    plant: `alter table app.invoices no force row level security;
      create function v1.find_invoice(invoice_id uuid) returns setof v1.invoices language sql stable security definer set search_path = ''
      begin atomic select i.* from app.invoices as i where i.id = find_invoice.invoice_id; end;
      grant execute on function v1.find_invoice(uuid) to tenant_user`,
    doctor: ['0002_rls_not_forced app.invoices', '0068_definer_not_listed v1.find_invoice(uuid) for tenant_user'],
    prove: {
      uproot: 'drop function v1.find_invoice(uuid); alter table app.invoices force row level security',
      only: { relations: ['v1.find_invoice()', 'v1.invoices'], verbs: ['call'] },
      at: /^v1\.find_invoice\(\) · call · viewer · arguments/,
    },
  },
  {
    name: 'a partition is granted directly, and its own row-level security is off',
    source: 'landscape 8: pgrls demo cases 13–15, 23–24; CVE-2025-8713 has the same shape',
    plant: folderPartitions
      .map((name) => `alter table ${name} disable row level security; grant select on ${name} to tenant_user`)
      .join(';'),
    doctor: ['0001_rls_disabled app.folders_p00', '0003_partition_granted app.folders_p00 for tenant_user'],
    prove: {
      uproot: folderPartitions
        .map((name) => `alter table ${name} enable row level security; revoke select on ${name} from tenant_user`)
        .join(';'),
      only: { relations: ['v1.folders'], verbs: ['session'] },
      at: /^v1\.folders · session · authenticator as tenant_user · unsealed/,
      beside: 'sessions',
    },
  },
  {
    name: 'clients may truncate',
    source: 'postgresql.org ddl-rowsecurity: TRUNCATE is not subject to policies',
    plant: 'grant truncate on app.tags to tenant_user',
    doctor: ['0024_dangerous_table_privilege app.tags for tenant_user (truncate)'],
    prove: { unreachable: 'PostgREST sends no TRUNCATE' },
  },
  {
    name: 'templates for everyone are rows whose tenant is null',
    source: 'agor#2019, probo#1588: rows that no export and no erasure finds',
    plant: byHand('templates', 'id uuid primary key default uuidv7(), body text not null', [
      'alter table app.templates alter column tenant_id drop not null',
      'alter table app.templates enable row level security, force row level security',
      `create policy "Own and shared" on app.templates to tenant_user
         using (tenant_id = request.tenant_id() or tenant_id is null) with check (tenant_id = request.tenant_id())`,
    ]),
    doctor: [
      '0010_policy_not_sealed "Own and shared" on app.templates',
      '0045_tenant_column_nullable app.templates',
      '0051_key_not_tenant_leading app.templates_pkey',
    ],
    prove: { unreachable: 'a row of nobody is nobody else’s' },
  },
];
