import type { Pool } from '../../functions/database.ts';

export interface Tenant {
  id: string;
  token: string;
}

export interface DataOptions {
  tenants: number;
  rowsPerTenant: number;
}

const id = (nth: string) => `'t_bench_' || lpad(${nth}::text, 5, '0')`;

/**
 * Tenants with files, in the order of time, not tenant by tenant: the newest of one tenant are on as many pages as in life.
 * @param admin of the superuser, so that triggers and policies do not see what is inserted here
 */
async function fillFiles(admin: Pool, { tenants, rowsPerTenant }: DataOptions): Promise<void> {
  await admin.query(`
    set session_replication_role = replica;
    insert into tenancy.tenants (id, slug, name, tier)
      select ${id('n')}, 'bench-' || n, 'Bench ' || n, 'enterprise' from generate_series(1, ${tenants}) as n;
    insert into tenancy.members (tenant_id, user_id, role)
      select ${id('n')}, 'bench', 'owner' from generate_series(1, ${tenants}) as n;
    insert into app.files (tenant_id, name, content_type, size, created_by, created_at)
      select ${id('n')}, 'file-' || m || '.csv', 'text/csv', m * 1000, 'bench', now() - m * interval '1 minute'
      from generate_series(${rowsPerTenant}, 1, -1) as m, generate_series(1, ${tenants}) as n;
    set session_replication_role = origin`);
}

/** A copy of app.files, its keys and its index, in a schema of its own that PostgREST serves. */
const copyOf = (schema: string, partitioning = '') => `
  create table ${schema}.files (like app.files, constraint files_pkey primary key (tenant_id, id),
    constraint files_one_output_of_a_kind unique (tenant_id, job_id, kind)) ${partitioning};
  create index files_created_at_idx on ${schema}.files (tenant_id, created_at desc, id desc);`;

const open = (schema: string) => `
  grant usage on schema ${schema} to tenant_user;
  grant select on ${schema}.files to tenant_user;`;

/** As an ordinary PostgREST or Supabase project has it: the claims of the token, read once a statement. */
const CLAIMS_POLICY = `tenant_id = (select current_setting('request.jwt.claims', true)::json ->> 'tenant_id')`;

/** What each step adds to the one before it; the last is app.files itself, through v1. */
export async function createSteps(admin: Pool, options: DataOptions): Promise<Tenant[]> {
  await fillFiles(admin, options);
  await admin.query(`
    create schema wall_flat authorization rowhouse_owner;
    create schema wall_rls authorization rowhouse_owner;
    create schema wall_sealed authorization rowhouse_owner;
    create schema wall_partitioned authorization rowhouse_owner;
    set role rowhouse_owner;
    ${copyOf('wall_flat')}
    ${copyOf('wall_rls')}
    alter table wall_rls.files enable row level security;
    create policy "A member reads the rows of their tenant" on wall_rls.files for select to tenant_user using (${CLAIMS_POLICY});
    ${copyOf('wall_sealed')}
    alter table wall_sealed.files enable row level security, force row level security;
    select tenancy.add_policies('wall_sealed.files', 'viewer', 'member', null);
    ${copyOf('wall_partitioned', 'partition by hash (tenant_id)')}
    select tenancy.protect('wall_partitioned.files', ledger => false);
    reset role`);
  for (const schema of ['wall_flat', 'wall_rls', 'wall_sealed', 'wall_partitioned']) {
    await admin.query(`insert into ${schema}.files select * from app.files order by created_at; ${open(schema)}`);
  }
  await admin.query('vacuum analyze');
  const { rows } = await admin.query<Tenant>(`
    select id, auth.issue_token(id, 'bench', 'owner', '12 hours') as token from tenancy.tenants
    where id like 't\\_bench\\_%' order by id`);
  return rows;
}
