import type { Pool } from '../../../functions/database.ts';

export interface Tenant {
  id: string;
  token: string;
}

export interface RowsOptions {
  tenants: number;
  filesPerTenant: number;
  /** Each with three findings; a quarter of them failed. Default none. */
  jobsPerTenant?: number;
}

const id = (nth: string) => `'t_bench_' || lpad(${nth}::text, 5, '0')`;
/** In SQL: the tenants that are made here. */
export const BENCH_TENANTS = `like 't\\_bench\\_%'`;

/** Limits are not the question: rates and places that are never reached. */
const UNLIMITED = `update tenancy.plans set read_rate = 1e6, read_burst = 1e6, write_rate = 1e6, write_burst = 1e6,
  expensive_rate = 1e6, expensive_burst = 1e6, request_concurrency = 256, queue_length = 256`;

/**
 * Tenants with files, jobs and their findings, behind the wall. Jobs are over: the stack's worker leaves them alone.
 * @param admin of the superuser; triggers and policies do not see what is inserted here
 */
export async function fillRows(admin: Pool, options: RowsOptions): Promise<Tenant[]> {
  const { tenants, filesPerTenant, jobsPerTenant = 0 } = options;
  await admin.query(`
    set session_replication_role = replica;
    insert into tenancy.tenants (id, slug, name, tier)
      select ${id('n')}, 'bench-' || n, 'Bench ' || n, 'enterprise' from generate_series(1, ${tenants}) as n;
    insert into tenancy.members (tenant_id, user_id, role)
      select ${id('n')}, 'bench', 'owner' from generate_series(1, ${tenants}) as n;
    insert into app.files (tenant_id, name, content_type, size, created_by, created_at)
      select ${id('n')}, 'file-' || m || '.csv', 'text/csv', m * 1000, 'bench', now() - m * interval '1 minute'
      from generate_series(1, ${tenants}) as n, generate_series(1, ${filesPerTenant}) as m;
    insert into app.jobs (tenant_id, type, status, attempts, created_by, created_at, finished_at)
      select ${id('n')}, 'csv.validate', (array['succeeded', 'failed', 'succeeded', 'cancelled'])[1 + m % 4], 1, 'bench',
        now() - m * interval '1 minute', now()
      from generate_series(1, ${tenants}) as n, generate_series(1, ${jobsPerTenant}) as m;
    insert into app.job_findings (tenant_id, job_id, ordinal, row, column_name, rule, message)
      select tenant_id, id, nth, nth * 10, 'price', 'number', 'not a number in row ' || nth * 10
      from app.jobs, generate_series(0, 2) as nth where tenant_id ${BENCH_TENANTS};
    set session_replication_role = origin;
    ${UNLIMITED};
    analyze`);
  return issueTokens(admin, 'tenant_user');
}

/** Tokens of the same claims, signed with the same key, for another role than the wall's; `%s` stands for the tenant's id. */
export async function issueTokens(admin: Pool, role: string): Promise<Tenant[]> {
  const { rows } = await admin.query<Tenant>(
    `select id, auth.issue_token(id, 'bench', 'owner', '12 hours', replace($1, '%s', id)) as token
     from tenancy.tenants where id ${BENCH_TENANTS} order by id`,
    [role],
  );
  return rows;
}

/** What PostgREST and the gate check tokens with, for servers that check them themselves: a JWKS. */
export async function apiKeys(admin: Pool): Promise<string> {
  const { rows } = await admin.query<{ keys: string }>('select auth.api_keyset()::text as keys');
  return rows[0]?.keys ?? '';
}
