import type { Client } from '../../database.ts';
import type { Column, ForeignKey, Table } from '../catalogue.ts';
import { draw } from '../random.ts';
import { referencesOf } from './references.ts';
import { candidates } from './values.ts';

export type Row = Record<string, unknown>;

export interface RowRequest {
  table: Table;
  tenant: string;
  /** Names the row: the same seed, tenant and index give the same row. */
  key: readonly (string | number)[];
  index: number;
  /** Rows of the same tenant that its foreign keys can point to. */
  parents: (table: string) => readonly Row[];
}

export interface PgError extends Error {
  code?: string;
  constraint?: string;
  column?: string;
  detail?: string;
}

const ATTEMPTS = 240;

type Values = Map<string, string | null>;

const asText = (value: unknown): string | null =>
  value === null || value === undefined ? null : typeof value === 'object' ? JSON.stringify(value) : String(value);

/** Which columns an error is about: by its constraint, its key, its column, or the value that it quotes. */
function blamed(table: Table, error: PgError, values: Values): string[] {
  const inKey = /Key \(([^)]+)\)/.exec(error.detail ?? '')?.[1];
  if (inKey && error.code?.startsWith('23')) return inKey.split(', ').map((name) => name.replaceAll('"', ''));
  const constraint = table.checks.filter(({ name }) => name === error.constraint).flatMap(({ columns }) => columns);
  if (constraint.length > 0) return constraint;
  if (error.column) return [error.column];
  const said = `${error.message} ${error.detail ?? ''}`;
  return [...values]
    .filter(([, value]) => value !== null && value.length > 1 && said.includes(value))
    .map(([name]) => name);
}

/** Points the columns of a foreign key at one of its parents; false where there is none and null is not allowed. */
function point(
  request: RowRequest,
  { columns, references, referenced }: ForeignKey,
  values: Values,
  attempt: number,
): boolean {
  const { table, index } = request;
  const parents = request.parents(references);
  const parent = parents[(index + attempt) % Math.max(1, parents.length)];
  const own = columns.filter((name) => name !== table.tenantColumn);
  if (parent) {
    for (const name of own) values.set(name, asText(parent[referenced[columns.indexOf(name)] as string]));
    return true;
  }
  if (own.every((name) => !table.columns.find((column) => column.name === name)?.required)) {
    for (const name of own) values.set(name, null);
    return true;
  }
  if (references !== table.name) return own.length === 0;
  for (const name of own) values.set(name, values.get(referenced[columns.indexOf(name)] as string) ?? null);
  return true;
}

/** Draws a column anew; null now and then where that is allowed, and where nothing else is known. */
function redraw({ table, tenant, key }: RowRequest, column: Column, attempt: number): string | null {
  if (column.name === table.tenantColumn) return tenant;
  const ways = candidates(table, column);
  if (ways.length === 0 || (!column.required && attempt > 0 && attempt % 5 === 0)) return null;
  const way = attempt === 0 ? 0 : draw_way(ways.length, [...key, column.name, attempt]);
  return draw(ways[way] as (typeof ways)[number], ...key, table.name, column.name, attempt);
}

const draw_way = (ways: number, key: readonly (string | number)[]) => {
  let sum = 0;
  for (const character of key.join()) sum = (sum * 31 + character.charCodeAt(0)) >>> 0;
  return sum % ways;
};

/**
 * What a check wants a column to be that says `column = expression of others`: nothing drawn would be that.
 * @returns the column and its value; undefined: the check says something else
 */
async function computed(
  client: Client,
  table: Table,
  error: PgError,
  values: Values,
): Promise<[string, string] | undefined> {
  const check = error.code === '23514' && table.checks.find(({ name }) => name === error.constraint);
  const [, column, expression] = (check && /^CHECK \(\(("?\w+"?) = (?!ANY \()(.+)\)\)$/s.exec(check.definition)) || [];
  if (!check || !column || !expression) return undefined;
  const known = Object.fromEntries(check.columns.map((name) => [name, values.get(name)]));
  const { rows } = await client.query<{ value: string }>(
    `select (${expression})::text as value from jsonb_populate_record(null::${table.name}, $1)`,
    [JSON.stringify(known)],
  );
  return [column.replaceAll('"', ''), rows[0]?.value as string];
}

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;

async function insert(client: Client, table: Table, values: Values): Promise<Row> {
  const names = [...values.keys()];
  const { rows } = await client.query<{ row: Row }>(
    `insert into ${table.name} as filled (${names.map(quote).join(', ')}) overriding system value
     values (${names.map((_, nth) => `$${nth + 1}`).join(', ')}) returning to_jsonb(filled) as row`,
    [...values.values()],
  );
  return rows[0]?.row as Row;
}

/** Values for one row: no promise that the database takes them. */
export function draft(request: RowRequest): Values | string {
  const { table } = request;
  const values: Values = new Map(
    table.columns.filter(({ generated }) => !generated).map((column) => [column.name, redraw(request, column, 0)]),
  );
  for (const foreignKey of referencesOf(table)) {
    if (!point(request, foreignKey, values, 0))
      return `${foreignKey.references}, which ${foreignKey.name} points to, has no row`;
  }
  return values;
}

/**
 * Inserts one row that satisfies the table's constraints: drawn, offered to the database, and redrawn where it objects.
 * @returns the row as it is stored, or why there is none
 */
export async function fillRow(client: Client, request: RowRequest): Promise<Row | string> {
  const { table } = request;
  const values = draft(request);
  if (typeof values === 'string') return values;
  let objection = '';
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    await client.query('savepoint filling');
    try {
      const row = await insert(client, table, values);
      await client.query('release savepoint filling');
      return row;
    } catch (thrown) {
      const error = thrown as PgError;
      await client.query('rollback to savepoint filling');
      objection = `${error.code}: ${error.message}`;
      const wanted = await computed(client, table, error, values);
      if (wanted && wanted[0] !== table.tenantColumn && values.get(wanted[0]) !== wanted[1]) {
        values.set(...wanted);
        continue;
      }
      const suspects = blamed(table, error, values).filter((name) => values.has(name) && name !== table.tenantColumn);
      const unknown = suspects.length === 0;
      const names = unknown ? [...values.keys()].filter((_, nth) => (nth + attempt) % 3 === 0) : suspects;
      for (const column of table.columns) {
        // Not all of them at once: the one that was right stays so.
        if (
          names.includes(column.name) &&
          (names.length === 1 ||
            error.code === '23505' ||
            (attempt + names.indexOf(column.name)) % 2 === 0 ||
            attempt % 7 === 0)
        ) {
          values.set(column.name, redraw(request, column, attempt));
        }
      }
      for (const foreignKey of referencesOf(table)) {
        if (foreignKey.columns.some((name) => names.includes(name))) point(request, foreignKey, values, attempt);
      }
    }
  }
  return objection;
}
