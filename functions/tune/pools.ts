import type pg from 'pg';
import { idOf } from './names.ts';
import type { Proposal, Usage } from './types.ts';

/** From a quarter of everything on, a tenant's requests are worth connections of their own. */
export const POOL_SHARE = 0.25;

const percent = (share: number) => `${Math.round(share * 100)} %`;

export const shareOf = ({ work, time }: Usage): number => Math.max(work, time ?? 0);

/** A dedicated pool for each tenant that takes a quarter of the work or time and has none: one that serves nobody, where there is one. */
export async function proposePools(client: pg.Client, usages: readonly Usage[]): Promise<Proposal[]> {
  const busy = usages.filter((usage) => shareOf(usage) >= POOL_SHARE);
  if (busy.length === 0) return [];
  const { rows: served } = await client.query<{ id: string; pool: string | null }>(
    `select t.id, coalesce(s.pool, p.pool) as pool
     from tenancy.tenants t join tenancy.plans p on p.tier = t.tier
     left join tenancy.tenant_settings s on s.tenant_id = t.id where t.id = any ($1::text[])`,
    [busy.map(({ tenant_id }) => tenant_id)],
  );
  const { rows: free } = await client.query<{ name: string }>(
    `select name from tenancy.pools p where enabled and kind = 'dedicated'
       and not exists (select from tenancy.tenant_settings s where s.pool = p.name)
       and not exists (select from tenancy.plans where plans.pool = p.name) order by name`,
  );
  const pools = free.map(({ name }) => name);
  return busy
    .filter(({ tenant_id }) => served.some(({ id, pool }) => id === tenant_id && pool === null))
    .map((usage) => {
      const { tenant_id, work, time } = usage;
      const pool = pools.shift();
      const slug = tenant_id.replace(/^t_/, '').replaceAll('_', '-').slice(0, 40);
      return {
        id: idOf('pool', tenant_id),
        kind: 'pool',
        tenant_id,
        table: null,
        partition: null,
        object: pool ?? slug,
        definition: pool
          ? `insert into tenancy.tenant_settings (tenant_id, pool) values ('${tenant_id}', '${pool}')
 on conflict (tenant_id) do update set pool = excluded.pool`
          : `rowhouse pool add ${slug} http://HOST:PORT --tenant ${tenant_id}`,
        undo: pool
          ? `update tenancy.tenant_settings set pool = null where tenant_id = '${tenant_id}' and pool = '${pool}'`
          : null,
        reason: `takes ${percent(work)} of the work${time === null ? '' : ` and ${percent(time)} of the time`}`,
        gain: 'others no longer wait for connections that it holds',
        cost: pool
          ? 'none: the pool runs, and serves nobody'
          : 'one more PostgREST, and its connections to the database',
        manual: pool === undefined,
      } satisfies Proposal;
    });
}
