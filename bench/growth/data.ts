import type { Pool } from '../../functions/database.ts';
import type { GrowthTable, Spread } from './tables.ts';

const EXPONENT: Record<Spread, number> = { uniform: 0, zipf: 1 };

/** The tenant of a rank: of Zipf's, the first has the most rows. */
export const tenantId = (rank: number) => `t_growth_${String(rank).padStart(5, '0')}`;
const idOf = (rank: string) => `'t_growth_' || lpad((${rank})::text, 5, '0')`;

/** @param admin of the superuser; triggers and policies do not see what is inserted here */
export async function addTenants(admin: Pool, tenants: number): Promise<void> {
  await admin.query(`
    set session_replication_role = replica;
    insert into tenancy.tenants (id, slug, name, tier)
      select ${idOf('n')}, 'growth-' || n, 'Growth ' || n, 'enterprise' from generate_series(1, ${tenants}) as n;
    insert into tenancy.members (tenant_id, user_id, role)
      select ${idOf('n')}, 'bench', 'owner' from generate_series(1, ${tenants}) as n;
    set session_replication_role = origin`);
  await admin.query('vacuum (analyze) tenancy.tenants, tenancy.members');
}

/** Tokens of the tenants of these ranks, in their order. */
export async function issueTokens(admin: Pool, ranks: readonly number[]): Promise<string[]> {
  const { rows } = await admin.query<{ token: string }>(
    `select auth.issue_token(id, 'bench', 'owner', '12 hours') as token
     from unnest($1::text[]) with ordinality as asked (id, nth) order by nth`,
    [ranks.map(tenantId)],
  );
  return rows.map(({ token }) => token);
}

/** One after the other: what they are numbered decides where PostgreSQL keeps their locks (docs/operations.md). */
export async function createTable(admin: Pool, { name, partitions }: GrowthTable): Promise<void> {
  await admin.query(`
    set role rowhouse_owner;
    create table app.${name} (
      tenant_id tenancy.tenant_id not null,
      id uuid not null default uuidv7(),
      name text not null,
      size bigint not null,
      status text collate "C" not null default 'stored',
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      constraint ${name}_pkey primary key (tenant_id, id)
    ) partition by hash (tenant_id);
    create index ${name}_created_at_idx on app.${name} (tenant_id, created_at desc, id desc);
    select tenancy.protect('app.${name}', partitions => ${partitions}, expose => true);
    reset role`);
}

/**
 * Rows arrive as they would in life: one after the other of any tenant, so that the newest rows of a tenant lie as far apart as there
 * are tenants in its partition. The same size and spread give the same rows, whatever the partitions.
 */
export async function fillTable(admin: Pool, { name, tenants, rows, spread }: GrowthTable): Promise<void> {
  const client = await admin.connect();
  try {
    await client.query(`
      set session_replication_role = replica;
      set maintenance_work_mem = '512MB';
      set synchronous_commit = off;
      alter table app.${name} drop constraint ${name}_pkey;
      drop index app.${name}_created_at_idx;
      select setseed(0.5)`);
    // A tenant's rows are those of random numbers from the threshold before it to its own. Its id comes out of the directory: 4 µs a row
    // are spared that the check of its form would take.
    await client.query(`
      create temporary table shares as
        select rank, id, sum(rank::float8 ^ -${EXPONENT[spread]}) over (order by rank)
          / sum(rank::float8 ^ -${EXPONENT[spread]}) over () as threshold
        from generate_series(1, ${tenants}) as rank join tenancy.tenants on id = ${idOf('rank')};
      analyze shares;
      insert into app.${name} (tenant_id, id, name, size, created_at)
        select shares.id, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'file-' || n || '.csv', n,
          timestamptz '2026-01-01' + n * interval '1 second'
        from (
          select n, 1 + width_bucket(random(), (select array_agg(threshold order by rank) from shares where rank < ${tenants})) as rank
          from generate_series(1, ${rows}) as n
        ) as arrivals
        join shares using (rank);
      drop table shares`);
    await client.query(`
      alter table app.${name} add constraint ${name}_pkey primary key (tenant_id, id);
      create index ${name}_created_at_idx on app.${name} (tenant_id, created_at desc, id desc)`);
    // Else autovacuum would do it between the rounds.
    await client.query(`vacuum (freeze, analyze) app.${name}`);
  } finally {
    client.release(true); // With what was set.
  }
}

/** MB of all its partitions with their indexes. */
export async function sizeOf(admin: Pool, { name }: GrowthTable): Promise<number> {
  const { rows } = await admin.query<{ mb: number }>(
    `select round(sum(pg_total_relation_size(relid)) / 1048576)::int as mb from pg_partition_tree('app.${name}')`,
  );
  return rows[0]?.mb ?? 0;
}
