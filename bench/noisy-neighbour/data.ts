import type { Pool } from '../../functions/database.ts';

export interface Tokens {
  noisy: string;
  small: string;
}

const TENANTS = `values ('t_noisy'), ('t_small')`;

/**
 * A noisy and a small tenant on the standard plan, each with the same 1,000 files.
 * @param admin of the superuser; triggers and policies do not see what is inserted here
 */
export async function fillTables(admin: Pool): Promise<Tokens> {
  await admin.query(`
    set session_replication_role = replica;
    insert into tenancy.tenants (id, slug, name, tier)
      select id, substr(id, 3), 'Bench', 'standard' from (${TENANTS}) as t (id);
    insert into tenancy.members (tenant_id, user_id, role) select id, 'bench', 'owner' from (${TENANTS}) as t (id);
    insert into tenancy.tenant_settings (tenant_id) select id from (${TENANTS}) as t (id);
    insert into app.files (tenant_id, name, content_type, size, created_by, created_at)
      select id, 'file-' || m || '.csv', 'text/csv', m * 1000, 'bench', now() - m * interval '1 minute'
      from (${TENANTS}) as t (id), generate_series(1, 1000) as m;
    set session_replication_role = origin;
    analyze`);
  const { rows } = await admin.query<Tokens>(`
    select auth.issue_token('t_noisy', 'bench', 'owner', '12 hours') as noisy,
      auth.issue_token('t_small', 'bench', 'owner', '12 hours') as small`);
  return rows[0] as Tokens;
}
