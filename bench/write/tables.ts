import type { Pool } from '../../functions/database.ts';
import type { Tenant } from '../wall/tables.ts';

/** Each adds one thing to the one before it. */
export const STEPS = ['flat', 'flat_gated', 'sealed', 'partitioned', 'shipped'] as const;
export type SideName = (typeof STEPS)[number];

export const OWN_SCHEMAS = ['write_flat', 'write_sealed', 'write_partitioned'];

/** Where the rows of each side are. */
export const TABLE_OF: Record<SideName, string> = {
  flat: 'write_flat.notes',
  flat_gated: 'write_flat.notes',
  sealed: 'write_sealed.notes',
  partitioned: 'write_partitioned.notes',
  shipped: 'app.notes',
};

const TENANTS = 20;

/** An ordinary table: what a tenant's clients write, two times, and a key; the one index that lists by time need. Bare, the tenant is a text without a form. */
const notes = (schema: string, { tenant = 'tenancy.tenant_id', partitioning = '' } = {}) => `
  create table ${schema}.notes (
    tenant_id ${tenant} not null,
    id uuid not null default uuidv7(),
    title text not null,
    body text not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint notes_pkey primary key (tenant_id, id)
  ) ${partitioning};
  create index notes_created_at_idx on ${schema}.notes (tenant_id, created_at desc, id desc);
  comment on table ${schema}.notes is 'Notes';`;

const HASHED = { partitioning: 'partition by hash (tenant_id)' };

/** As protect() grants it, and on the flat table the tenant, too: nothing there knows whose a row is. */
const open = (schema: string, columns: string) => `
  grant usage on schema ${schema} to tenant_user;
  grant select, insert (${columns}) on ${schema}.notes to tenant_user;`;

export async function createTables(admin: Pool): Promise<Tenant[]> {
  await admin.query(`
    ${OWN_SCHEMAS.map((schema) => `create schema ${schema} authorization rowhouse_owner;`).join('\n')}
    set role rowhouse_owner;
    ${notes('write_flat', { tenant: 'text' })}
    ${open('write_flat', 'tenant_id, id, title, body')}
    ${notes('write_sealed')}
    alter table write_sealed.notes enable row level security, force row level security;
    alter table write_sealed.notes alter column tenant_id set default request.tenant_id();
    select tenancy.add_policies('write_sealed.notes', 'viewer', 'member', null);
    ${open('write_sealed', 'id, title, body')}
    ${notes('write_partitioned', HASHED)}
    select tenancy.protect('write_partitioned.notes', ledger => false);
    ${open('write_partitioned', 'id, title, body')}
    ${notes('app', HASHED)}
    select tenancy.protect('app.notes', expose => true);
    reset role;
    select tenancy.create_tenant('t_write_' || n, 't-write-' || n, 'Write ' || n, 'bench') from generate_series(1, ${TENANTS}) as n;
    notify pgrst, 'reload schema'`);
  const { rows } = await admin.query<Tenant>(`
    select id, auth.issue_token(id, 'bench', 'owner', '12 hours') as token from tenancy.tenants
    where id like 't\\_write\\_%' order by id`);
  return rows;
}

/** Of all sides, and of the ledger: each measurement begins with tables as empty as the one before it did. */
export async function emptyTables(admin: Pool): Promise<void> {
  await admin.query(`truncate ${[...new Set(Object.values(TABLE_OF))].join(', ')}, ledger.entries`);
}
