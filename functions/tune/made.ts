import type pg from 'pg';
import { MADE_NAME } from './names.ts';
import { asOwner } from './session.ts';
import type { Kind, Measurement, Proposal } from './types.ts';

/** What an earlier run has made, and what the server says of it now. */
export interface Made {
  id: string;
  tenant_id: string;
  kind: Kind;
  object: string;
  partition: string | null;
  table: string | null;
  definition: string;
  undo: string | null;
  status: 'building' | 'built';
  reason: string;
  before: Measurement[] | null;
  after: Measurement[] | null;
  created_at: Date;
  /** Whole days since then. */
  days: number;
  tenant_exists: boolean;
  exists: boolean;
  valid: boolean;
  /** The index of the whole table that has taken it over. */
  attached_to: string | null;
  bytes: number | null;
  scans: number | null;
  /** Since it was built and measured. */
  last_scan: Date | null;
  days_since_scan: number | null;
}

/** Everything in tune.objects, the oldest first. */
export async function readMade(client: pg.Client): Promise<Made[]> {
  const { rows } = await client.query<Made>(
    `select o.id, o.tenant_id, o.kind, o.object, o.partition, o.definition, o.undo, o.status, o.reason, o.before, o.after, o.created_at,
       (select inhparent::regclass::text from pg_inherits where inhrelid = to_regclass(o.partition)) as table,
       floor(extract(epoch from now() - o.created_at) / 86400)::integer as days,
       exists (select from tenancy.tenants t where t.id = o.tenant_id) as tenant_exists,
       case o.kind
         when 'index' then i.indexrelid is not null
         when 'statistics' then exists (select from pg_statistic_ext e join pg_namespace n on n.oid = stxnamespace
           where format('%I.%I', n.nspname, e.stxname) = o.object)
         when 'target' then exists (select from pg_attribute a where a.attrelid = to_regclass(o.partition) and not a.attisdropped
           and o.object = o.partition || '."' || replace(a.attname, '"', '""') || '"' and a.attstattarget = 1000)
         else exists (select from tenancy.tenant_settings s where s.tenant_id = o.tenant_id and s.pool = o.object)
       end as exists,
       coalesce(i.indisvalid, true) as valid,
       (select inhparent::regclass::text from pg_inherits where inhrelid = i.indexrelid) as attached_to,
       pg_relation_size(i.indexrelid)::float8 as bytes, u.idx_scan::float8 as scans,
       case when u.last_idx_scan > o.measured_at then u.last_idx_scan end as last_scan,
       case when u.last_idx_scan > o.measured_at then extract(epoch from now() - u.last_idx_scan) / 86400 end::float8 as days_since_scan
     from tune.objects o
     left join pg_index i on i.indexrelid = to_regclass(case when o.kind = 'index' then o.object end)
     left join pg_stat_all_indexes u on u.indexrelid = i.indexrelid
     order by o.created_at, o.id`,
  );
  return rows;
}

/** Indexes of ours that were not built to their end: a killed build leaves one. Those of a build that runs are none. */
export async function invalidLeftovers(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ object: string }>(
    `select format('%I.%I', n.nspname, c.relname) as object
     from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
     where not i.indisvalid and c.relname ~ $1 and c.relkind = 'i'
       and not exists (select from pg_stat_progress_create_index p where p.index_relid = i.indexrelid)
     order by 1`,
    [MADE_NAME],
  );
  return rows.map(({ object }) => object);
}

type Key = Pick<Proposal, 'tenant_id' | 'id'>;

/** Before anything is made, so that a build that ends badly is found. */
export async function recordBuilding(
  client: pg.Client,
  proposal: Proposal,
  before: readonly Measurement[],
): Promise<void> {
  const { id, tenant_id, kind, object, partition, definition, undo, reason } = proposal;
  await asOwner(client, () =>
    client.query(
      `insert into tune.objects (id, tenant_id, kind, object, partition, definition, undo, reason, before)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      [id, tenant_id, kind, object, partition, definition, undo, reason, JSON.stringify(before)],
    ),
  );
}

/** Scans up to now were our own measurements. */
export async function recordBuilt(
  client: pg.Client,
  { tenant_id, id }: Key,
  after: readonly Measurement[],
): Promise<void> {
  await asOwner(client, () =>
    client.query(
      `update tune.objects set status = 'built', after = $3, measured_at = clock_timestamp() where tenant_id = $1 and id = $2`,
      [tenant_id, id, JSON.stringify(after)],
    ),
  );
}

export async function forget(client: pg.Client, { tenant_id, id }: Key): Promise<void> {
  await asOwner(client, () =>
    client.query('delete from tune.objects where tenant_id = $1 and id = $2', [tenant_id, id]),
  );
}
