import { randomBytes } from 'node:crypto';
import { createPool, type Pool } from '../../functions/database.ts';
import { until } from '../../functions/stack/until.ts';
import type { ChaosCluster } from '../cluster.ts';
import type { TenantModel } from './model.ts';

const TENANTS = 5;
const ROWS = 4;
const ROLES = ['owner', 'member'] as const;

/** A table with a version in each row, and a view over it and another table. */
const SCHEMA = `
  create table app.counters (
    tenant_id tenancy.tenant_id not null,
    id integer not null,
    version bigint not null default 0,
    marker text not null,
    constraint counters_pkey primary key (tenant_id, id)
  ) partition by hash (tenant_id);
  select tenancy.protect('app.counters', partitions => 4, expose => true);
  create view v1.totals with (security_invoker = true) as
    select c.tenant_id, sum(c.version)::bigint as version, min(c.marker) as marker, (select count(*) from app.files) as files
    from app.counters as c group by c.tenant_id;
  grant select on v1.totals to tenant_user;
  update tenancy.plans set read_rate = 1000000, read_burst = 1000000, write_rate = 1000000, write_burst = 1000000,
    expensive_rate = 1000000, expensive_burst = 1000000, request_concurrency = 32, queue_length = 1000;
  notify pgrst, 'reload schema'`;

/** Tenants with tokens, rows and a guest who comes and goes; written to PostgREST and seen there before anything is cached. */
export async function populate({ database, postgrest }: ChaosCluster): Promise<TenantModel[]> {
  const pool = createPool(database.migrator, 'chaos', 2);
  try {
    await pool.query(SCHEMA);
    const tenants: TenantModel[] = [];
    for (let nth = 0; nth < TENANTS; nth++) tenants.push(await addTenant(pool, `t_chaos${nth}`));
    for (const { tokens, rows, marker } of tenants) {
      const body = JSON.stringify(rows.map(({ id }) => ({ id, marker })));
      const headers = { authorization: `Bearer ${tokens[0]}`, 'content-type': 'application/json' };
      const send = () => fetch(`${postgrest}/counters`, { method: 'POST', headers, body });
      // Until PostgREST has loaded the schema, the table is not there.
      if (!(await until(async () => (await send()).status === 201, { timeoutMs: 20_000 })))
        throw new Error(`the rows could not be written: ${await (await send()).text()}`);
    }
    return tenants;
  } finally {
    await pool.end();
  }
}

async function addTenant(pool: Pool, id: string): Promise<TenantModel> {
  await pool.query(`select tenancy.create_tenant($1, $2, 'Chaos', 'owner')`, [id, id.replaceAll('_', '-')]);
  const issue = async (subject: string, role: string) => {
    const text = `select auth.issue_token($1, $2, $3, '1 hour') as token`;
    return (await pool.query<{ token: string }>(text, [id, subject, role])).rows[0]?.token as string;
  };
  const tokens: string[] = [];
  for (const role of ROLES) {
    if (role !== 'owner') {
      await pool.query('insert into tenancy.members (tenant_id, user_id, role) values ($1, $2, $2)', [id, role]);
    }
    tokens.push(await issue(role, role));
  }
  return {
    id,
    marker: `of-${id}-${randomBytes(6).toString('hex')}`,
    tokens,
    rows: Array.from({ length: ROWS }, (_, nth) => ({
      id: nth,
      home: nth % 2,
      issued: 0,
      acknowledged: [],
      writing: false,
    })),
    guest: { token: await issue('guest', 'member'), member: false, changing: false, epoch: 0 },
  };
}
