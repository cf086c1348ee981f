import type { Client } from '../../database.ts';
import type { Catalogue, Relation, Table } from '../catalogue.ts';
import type { Finding } from '../types.ts';
import { fillOrder, isDirectory } from './order.ts';
import { fillRow, type Row } from './row.ts';

export type Rows = Map<string, Row[]>;

/** 20 times 250 ms: the database may be in use, and whoever uses it must not wait longer, nor lose a deadlock to a prover. */
const LOCK_TRIES = 20;
const NOT_NOW = new Set(['55P03', '40P01']);

interface Queryable {
  query(sql: string): Promise<unknown>;
}

/** Locks all of the tables or, while others are in the way, none. */
async function lockTables(client: Queryable, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  await client.query(`set local lock_timeout = '250ms'`);
  for (let tries = 1; ; tries++) {
    await client.query('savepoint locking');
    try {
      await client.query(`lock table only ${names.join(', only ')} in access exclusive mode`);
      return;
    } catch (error) {
      if (tries === LOCK_TRIES || !NOT_NOW.has((error as { code?: string }).code ?? '')) throw error;
      await client.query('rollback to savepoint locking');
    }
  }
}

/** Lets the owner past forced row-level security for this transaction, which is all that it is without being a superuser. */
export async function unforced<T>(
  client: Queryable,
  tables: readonly Pick<Table, 'name' | 'forced'>[],
  work: () => Promise<T>,
): Promise<T> {
  const forced = tables.filter((table) => table.forced).map(({ name }) => name);
  await lockTables(client, forced);
  for (const name of forced) await client.query(`alter table ${name} no force row level security`);
  const result = await work();
  await client.query('set constraints all immediate');
  for (const name of forced) await client.query(`alter table ${name} force row level security`);
  return result;
}

export interface Filling {
  tenant: string;
  letter: string;
  seed: number;
  /** How many rows each table gets. */
  count: number;
}

/** Shared by all tenants, or the tenant itself: what is there is pointed to, nothing is added. */
async function presentRows(client: Client, table: Table, tenant: string): Promise<Row[]> {
  const own = table.tenantColumn === null ? '$1::text is not null' : `${table.tenantColumn} = $1`;
  const { rows } = await client.query<{ row: Row }>(
    `select to_jsonb(t) as row from ${table.name} as t where ${own} order by t::text limit 20`,
    [tenant],
  );
  return rows.map(({ row }) => row);
}

/** @returns as many rows as could be made, and why there is none */
async function newRows(
  client: Client,
  table: Table,
  { tenant, letter, seed, count }: Filling,
  parents: (name: string) => readonly Row[],
): Promise<{ rows: Row[]; problem?: string }> {
  const rows: Row[] = [];
  const parentsOf = (name: string) => (name === table.name ? rows : parents(name));
  for (let index = 0; index < count; index++) {
    const row = await fillRow(client, { table, tenant, key: [seed, letter, index], index, parents: parentsOf });
    if (typeof row === 'string') return index === 0 ? { rows, problem: row } : { rows };
    rows.push(row);
  }
  return { rows };
}

/** Rows of the tenant in every table that the relations need. What cannot be filled is a finding. */
export async function fillTenant(
  client: Client,
  catalogue: Catalogue,
  relations: readonly Relation[],
  filling: Filling,
): Promise<{ rows: Rows; partitions: Map<string, string>; findings: Finding[] }> {
  const tables = fillOrder(catalogue, relations);
  const rows: Rows = new Map();
  const partitions = new Map<string, string>();
  const findings: Finding[] = [];
  await unforced(client, tables, async () => {
    for (const table of tables) {
      if (table.tenantColumn === null || isDirectory(table)) {
        rows.set(table.name, await presentRows(client, table, filling.tenant));
        continue;
      }
      const made = await newRows(client, table, filling, (name) => rows.get(name) ?? []);
      rows.set(table.name, made.rows);
      if (made.problem) {
        const hint = 'a comment on a column can give a value: @sample <json>';
        const detail = `no row of ${table.name} could be made: ${made.problem} (${hint})`;
        findings.push({ kind: 'unfillable', at: table.name, detail });
      }
      const { rows: places } = await client.query<{ place: string }>(
        `select tableoid::regclass::text as place from ${table.name} where ${table.tenantColumn} = $1 limit 1`,
        [filling.tenant],
      );
      if (places[0]) partitions.set(table.name, places[0].place);
    }
  });
  return { rows, partitions, findings };
}

/** Removes every row of the tenants, children first. What only goes with its tenant, such as the last owner, is left to that. */
export async function emptyTenants(
  client: Client,
  tables: readonly Table[],
  tenants: readonly string[],
): Promise<void> {
  for (const table of tables.toReversed()) {
    if (table.tenantColumn === null || isDirectory(table)) continue;
    await client.query('savepoint emptying');
    await client
      .query(`delete from ${table.name} where ${table.tenantColumn} = any ($1)`, [tenants])
      .catch(async () => {
        await client.query('rollback to savepoint emptying');
      });
  }
}
