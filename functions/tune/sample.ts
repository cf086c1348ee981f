import pg from 'pg';
import type { Column } from './columns.ts';
import { become, sealFor } from './session.ts';

const SAMPLE = 'pg_temp.tune_sample';
/** As many rows as ANALYZE itself looks at with the default target, and no more than this many bytes of them. */
const ROWS = 30_000;
const BYTES = 64 * 1024 ** 2;

export interface Source {
  table: string;
  partition: string;
  /** Rows of the partition, by its statistics. */
  rows: number;
}

/**
 * Copies a sample of the tenant's rows into a temporary table with the partition's indexes and the policy that members read under,
 * so that an index can be tried: on real rows, planned as it would be, and without a lock that anybody waits for. The transaction
 * has to be rolled back. Its role is tenant_user's afterwards.
 * @returns the relation, and its rows; undefined where the gate refuses the tenant
 */
export async function copySample(
  client: pg.Client,
  { table, partition, rows }: Source,
  tenantId: string,
  columns: ReadonlyMap<string, Column>,
): Promise<{ relation: string; rows: number } | undefined> {
  const width = [...columns.values()].reduce((sum, column) => sum + column.width, 0);
  const percent = Math.min(100, (100 * Math.min(ROWS, BYTES / width)) / Math.max(1, rows));
  const copied = [...columns.values()]
    .filter(({ generated }) => !generated)
    .map((column) => pg.escapeIdentifier(column.name));
  if (!(await sealFor(client, tenantId))) return undefined;
  await become(client, 'rowhouse_owner');
  const { rows: policies } = await client.query<{ condition: string }>(
    `select pg_get_expr(polqual, polrelid) as condition from pg_policy
     where polrelid = $1::regclass and polpermissive and polcmd in ('r', '*') and 'tenant_user'::regrole = any (polroles)`,
    [table],
  );
  await client.query(
    `create temporary table tune_sample (like ${partition} including indexes including statistics including generated)`,
  );
  await client.query(`grant select, insert on ${SAMPLE} to tenant_user`);
  await become(client, 'tenant_user');
  const list = copied.join(', ');
  const { rowCount } = await client.query(
    `insert into ${SAMPLE} (${list}) select ${list} from ${table}${percent < 100 ? ` tablesample system (${percent})` : ''}`,
  );
  await become(client, 'rowhouse_owner');
  await client.query(`alter table ${SAMPLE} enable row level security`);
  for (const [index, { condition }] of policies.entries()) {
    await client.query(`create policy sample_${index} on ${SAMPLE} for select to tenant_user using (${condition})`);
  }
  await client.query(`analyze ${SAMPLE}`);
  await become(client, 'tenant_user');
  return { relation: SAMPLE, rows: rowCount ?? 0 };
}
