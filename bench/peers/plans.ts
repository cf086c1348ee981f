import type { Pool } from '../../functions/database.ts';
import { planOf } from '../plan.ts';

/** As PostgREST prepares them, LIMIT being a parameter. */
const STATEMENTS: Record<string, { statement: string; values: readonly unknown[] }> = {
  list: {
    statement: `select id, name, size, status, created_at from v1.files order by created_at desc, id desc limit $1 offset $2`,
    values: [20, 0],
  },
  embed: {
    statement: `select id, type, status, created_at, found.findings, (select count(*) from v1.jobs where status = $1)
      from v1.jobs left join lateral (
        select json_agg(f)::jsonb as findings from (
          select ordinal, rule, severity, message from v1.job_findings
          where job_findings.tenant_id = jobs.tenant_id and job_findings.job_id = jobs.id order by ordinal) as f
      ) as found on true
      where status = $1 order by created_at desc, id desc limit $2 offset $3`,
    values: ['failed', 20, 0],
  },
};

/** Plans of our side's statements, for a tenant. */
export async function plansOf(admin: Pool, token: string): Promise<Record<string, string>> {
  const plans: Record<string, string> = {};
  for (const [name, of] of Object.entries(STATEMENTS)) plans[name] = await planOf(admin, { token, ...of });
  return plans;
}
