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
/** As many as ANALYZE looks at: the share of a tenant that has a quarter of them is right within three hundredths. */
const SAMPLED_ROWS = 30_000;

export interface Partition {
  table: string;
  partition: string;
  /** -1: never analysed. */
  rows: number;
  blocks: number;
  /** Rows inserted and updated since statistics were reset, and the part of the updates that touched no index. */
  written: number;
  hot: number;
  /** Null where it was never analysed. */
  tenants: number | null;
  common: string[] | null;
  frequencies: number[] | null;
}

type Tenants = Pick<Partition, 'tenants' | 'common' | 'frequencies'>;

/**
 * From a sample of the partition's blocks: `tenant_id` has no statistics, lest the planner expects the next tenant to be as large as the one
 * that it made a plan for. How many tenants there are is estimated as ANALYZE does (Haas and Stokes, IBM Research Report RJ 10025, 1998).
 */
async function sampleTenants(client: pg.Client, partition: string, rows: number): Promise<Tenants> {
  if (rows <= 0) return { tenants: null, common: null, frequencies: null };
  const { rows: sampled } = await client.query<Tenants>(
    `with sample as (
       select tenant_id::text as tenant_id, count(*)::float8 as n from only ${partition} tablesample system ($1) group by tenant_id
     ), whole as (
       select sum(n) as n, count(*) as d, count(*) filter (where n = 1) as once from sample
     ), largest as (select tenant_id, sample.n / whole.n as share from sample, whole order by sample.n desc limit 100)
     select (select n * d / (n - once + once * n / greatest(n, $2)) from whole)::float8 as tenants,
       array(select tenant_id from largest) as common, array(select share from largest)::float8[] as frequencies`,
    [Math.min(100, (100 * SAMPLED_ROWS) / rows), rows],
  );
  return sampled[0] as Tenants;
}

/** The partitions of every table that is partitioned by its tenant, with what statistics and samples say of them. */
export async function readPartitions(client: pg.Client): Promise<Partition[]> {
  const { rows } = await client.query<Omit<Partition, keyof Tenants>>(
    `select t.oid::regclass::text as table, c.oid::regclass::text as partition, c.reltuples::float8 as rows,
       (heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0) + coalesce(toast_blks_read + toast_blks_hit, 0))::float8 as blocks,
       (n_tup_ins + n_tup_upd)::float8 as written, (n_tup_hot_upd / greatest(n_tup_upd, 1)::float8) as hot
     from pg_partitioned_table p
     join pg_class t on t.oid = p.partrelid
     join pg_attribute a on a.attrelid = t.oid and a.attnum = p.partattrs[0] and a.attname = 'tenant_id'
     join pg_inherits i on i.inhparent = t.oid
     join pg_class c on c.oid = i.inhrelid
     join pg_statio_all_tables io on io.relid = c.oid
     join pg_stat_all_tables st on st.relid = c.oid
     where p.partstrat = 'h' and p.partnatts = 1
     order by t.oid, c.oid`,
  );
  const partitions: Partition[] = [];
  for (const row of rows) partitions.push({ ...row, ...(await sampleTenants(client, row.partition, row.rows)) });
  return partitions;
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
