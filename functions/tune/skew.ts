import type pg from 'pg';
import { median } from './median.ts';
import type { Skew } from './types.ts';

/** Smaller tenants are not worth an object of their own. */
const LEAST_ROWS = 10_000;
/** How many times the average of the others a large tenant is. */
const LEAST_TIMES = 4;
/** A tenant with a quarter of a table's work is busy, however many rows it has. */
const BUSY = 0.25;
/** Fewer blocks say nothing of how work is shared. */
const LEAST_BLOCKS = 10_000;

export interface Partition {
  table: string;
  partition: string;
  /** -1: never analysed. */
  rows: number;
  blocks: number;
  /** Rows inserted and updated since statistics were reset, and the part of the updates that touched no index. */
  written: number;
  hot: number;
  /** Null where there are no statistics. */
  tenants: number | null;
  common: string[] | null;
  frequencies: number[] | null;
}

/** The partitions of every table that is partitioned by its tenant, with what statistics say of them. */
export async function readPartitions(client: pg.Client): Promise<Partition[]> {
  const { rows } = await client.query<Partition>(
    `select t.oid::regclass::text as table, c.oid::regclass::text as partition, c.reltuples::float8 as rows,
       (heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0) + coalesce(toast_blks_read + toast_blks_hit, 0))::float8 as blocks,
       (n_tup_ins + n_tup_upd)::float8 as written, (n_tup_hot_upd / greatest(n_tup_upd, 1)::float8) as hot,
       case when s.n_distinct < 0 then -s.n_distinct * greatest(c.reltuples, 0) else s.n_distinct end::float8 as tenants,
       s.most_common_vals::text::text[] as common, s.most_common_freqs::float8[] as frequencies
     from pg_partitioned_table p
     join pg_class t on t.oid = p.partrelid
     join pg_attribute a on a.attrelid = t.oid and a.attnum = p.partattrs[0] and a.attname = 'tenant_id'
     join pg_inherits i on i.inhparent = t.oid
     join pg_class c on c.oid = i.inhrelid
     join pg_namespace n on n.oid = c.relnamespace
     join pg_statio_all_tables io on io.relid = c.oid
     join pg_stat_all_tables st on st.relid = c.oid
     left join pg_stats s on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = 'tenant_id' and not s.inherited
     where p.partstrat = 'h' and p.partnatts = 1
     order by t.oid, c.oid`,
  );
  return rows;
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);

/**
 * The part of the table's work that is done for a tenant: what was touched of its partition beyond what was of the median one.
 * @returns null where that cannot be told: one partition, little work, or another's work in the same partition
 */
function workOf(partitions: readonly Partition[], at: Partition, partitionShare: number): number | null {
  const total = sum(partitions.map(({ blocks }) => blocks));
  if (partitions.length < 4 || total < LEAST_BLOCKS || partitionShare < 0.5) return null;
  const usual = median(partitions.filter((one) => one !== at).map(({ blocks }) => blocks));
  return Math.max(0, at.blocks - usual) / total;
}

function skewOf(partitions: readonly Partition[], leastShare: number): Skew[] {
  const rows = sum(partitions.map((one) => Math.max(0, one.rows)));
  const tenants = Math.max(1, sum(partitions.map((one) => one.tenants ?? 0)));
  const found: Skew[] = [];
  for (const at of partitions) {
    for (const [index, tenant_id] of (at.common ?? []).entries()) {
      const partition_share = at.frequencies?.[index] ?? 0;
      const own = Math.round(partition_share * at.rows);
      if (own < LEAST_ROWS) continue;
      const share = own / rows;
      const times = own / Math.max(1, (rows - own) / Math.max(1, tenants - 1));
      const work = workOf(partitions, at, partition_share);
      const large = share >= leastShare && times >= LEAST_TIMES;
      if (!large && (work ?? 0) < BUSY) continue;
      const { table, partition } = at;
      found.push({ tenant_id, table, partition, rows: own, share, times, partition_share, work });
    }
  }
  return found;
}

/**
 * The tenants that skew: at least `leastShare` of a table's rows and four times the average of the others, or a quarter of its work.
 * @returns the largest share first
 */
export function findSkew(partitions: readonly Partition[], leastShare: number): Skew[] {
  const tables = Map.groupBy(partitions, ({ table }) => table);
  return [...tables.values()]
    .flatMap((table) => skewOf(table, leastShare))
    .sort((a, b) => b.share - a.share || (a.table < b.table ? -1 : 1));
}

/** Tables with rows of which nothing is known: where autovacuum is off, or has not been yet. */
export function unanalysed(partitions: readonly Partition[]): string[] {
  return [...new Set(partitions.filter(({ rows, blocks }) => rows < 0 && blocks > 0).map(({ table }) => table))];
}
