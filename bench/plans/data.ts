import type { Pool } from '../../functions/database.ts';

export interface SkewedTenant {
  id: string;
  /** Rows in each table. */
  rows: number;
  token: string;
}

/** Members and keys of a tenant are fewer than its rows. */
const MEMBERS = 20_000;
const KEYS = 1000;
/** Of the background: tenant k of them has 1/k of what the first has. */
const OTHERS = 300;

/**
 * Three tenants of very different sizes, among others whose sizes follow Zipf's law. A row in a thousand has the rare value of its column.
 * @param largest rows of the largest tenant
 */
export async function fillSkewed(admin: Pool, largest: number): Promise<SkewedTenant[]> {
  const sizes = { t_skew_one: 1, t_skew_thousand: 1000, t_skew_largest: largest };
  await admin.query(`
    create temporary table sizes as
      select * from (values ${Object.entries(sizes)
        .map(([id, rows]) => `('${id}', ${rows})`)
        .join(', ')}) as sizes (id, rows)
      union all select 't_zipf_' || lpad(k::text, 4, '0'), greatest(1, ${largest / 10} / k) from generate_series(1, ${OTHERS}) as k;
    set session_replication_role = replica;
    insert into tenancy.tenants (id, slug, name, tier) select id, replace(id, '_', '-'), id, 'enterprise' from sizes;
    insert into tenancy.members (tenant_id, user_id, role)
      select id, 'user-' || n, case when n = 1 then 'owner' when n % 100 = 2 then 'admin' else 'member' end
      from sizes, generate_series(1, least(rows, ${MEMBERS})) as n;
    insert into auth.api_keys (tenant_id, id, name, scopes, tenant_role, created_by)
      select id, lpad(to_hex(n), 16, '0'), 'key ' || n, '{read}', 'viewer', 'user-1' from sizes, generate_series(1, least(rows, ${KEYS})) as n;
    insert into app.jobs (tenant_id, type, idempotency_key, status, created_by, created_at, finished_at)
      select id, 'csv.validate', 'key-' || n, case when rare then 'queued' else 'succeeded' end, 'user-1',
        now() - n * interval '1 minute', case when not rare then now() end
      from sizes, generate_series(1, rows) as n, lateral (select n % 1000 = 500 as rare) as r;
    insert into app.files (tenant_id, name, size, status, kind, job_id, sha256, stored_at, created_by, created_at)
      select tenant_id, 'file-' || n || '.csv', n, 'stored', case when n % 1000 = 1 then 'report' else 'upload' end,
        case when n % 1000 = 1 then job end, repeat('0', 64), created_at, 'user-1', created_at
      from (select tenant_id, id as job, created_at, row_number() over (partition by tenant_id order by id) as n from app.jobs
            where tenant_id in (select id from sizes)) as j;
    insert into app.job_findings (tenant_id, job_id, ordinal, row, rule, severity, message)
      select j.tenant_id, j.id, n, n, 'required', case when n % 10 = 0 then 'warning' else 'error' end, 'is empty'
      from (select tenant_id, id, row_number() over (partition by tenant_id order by id) as nth from app.jobs
            where tenant_id in (select id from sizes)) as j, generate_series(0, 99) as n
      where nth % 100 = 1;
    set session_replication_role = origin;
    drop table sizes`);
  await admin.query('vacuum analyze');
  const { rows: tenants } = await admin.query<{ id: string; token: string }>(
    `select id, auth.issue_token(id, 'user-1', 'owner', '12 hours') as token from tenancy.tenants where id like 't\\_skew\\_%'`,
  );
  return tenants
    .map(({ id, token }) => ({ id, token, rows: sizes[id as keyof typeof sizes] }))
    .sort((a, b) => a.rows - b.rows);
}
