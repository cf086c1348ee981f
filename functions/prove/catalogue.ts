import type { Client } from '../database.ts';
import { CATALOGUE } from './catalogue-query.ts';
import type { Role } from './types.ts';

/** A type with its domains taken off. */
export interface TypeInfo {
  name: string;
  /** As pg_type.typcategory: S string, N number, A array, D date … */
  category: string;
  kind: string;
  element: string | null;
  elementLabels: string[] | null;
  labels: string[] | null;
  subtype: string | null;
}

export interface Column {
  name: string;
  type: TypeInfo;
  declared: string;
  /** pg_attribute.atttypmod, the domain's where it has one: lengths and precisions. */
  modifier: number;
  required: boolean;
  hasDefault: boolean;
  generated: boolean;
  identity: string;
  comment: string | null;
}

export interface ForeignKey {
  name: string;
  columns: string[];
  references: string;
  referenced: string[];
}

export interface Table {
  name: string;
  forced: boolean;
  columns: Column[];
  /** What says whose a row is; null where a table belongs to no tenant. */
  tenantColumn: string | null;
  keys: { name: string; primary: boolean; columns: string[] }[];
  foreignKeys: ForeignKey[];
  /** Check and exclusion constraints, and the checks of the columns' domains. */
  checks: { name: string; definition: string; columns: string[] }[];
}

export type ApiRole = 'anon' | 'tenant_user' | 'operator';
export interface Grants {
  select: boolean;
  insert: string[];
  update: string[];
  delete: boolean;
}

export interface Relation {
  schema: string;
  name: string;
  kind: string;
  bases: string[];
  columns: { name: string; type: TypeInfo }[];
  grants: Record<ApiRole, Grants>;
}

export interface ExposedFunction {
  schema: string;
  name: string;
  volatile: boolean;
  returns: string;
  arguments: { name: string; type: TypeInfo; optional: boolean }[];
  execute: Record<ApiRole, boolean>;
}

export interface Catalogue {
  schemas: string[];
  tables: Map<string, Table>;
  relations: Relation[];
  functions: ExposedFunction[];
}

interface Read {
  tables: (Omit<Table, 'keys' | 'foreignKeys' | 'checks'> &
    Partial<Record<'keys' | 'foreignKeys' | 'checks', unknown>>)[];
  relations: Relation[];
  functions: ExposedFunction[];
}

/** Reads the exposed schemas and everything beneath them. */
export async function readCatalogue(client: Pick<Client, 'query'>, schemas: string[]): Promise<Catalogue> {
  await client.query(`set local search_path = ''`);
  const { rows } = await client.query<{ catalogue: Read }>(CATALOGUE, [schemas]);
  const { tables, relations, functions } = (rows[0] as { catalogue: Read }).catalogue;
  const complete = tables.map((table) => ({
    ...table,
    keys: table.keys ?? [],
    foreignKeys: table.foreignKeys ?? [],
    checks: table.checks ?? [],
  })) as Table[];
  return {
    schemas,
    tables: new Map(complete.map((table) => [table.name, table])),
    relations: relations.map((relation) => ({ ...relation, bases: relation.bases ?? [] })),
    functions,
  };
}

export function databaseRole(role: Role): ApiRole {
  return role === 'operator' ? 'operator' : role === 'none' ? 'anon' : 'tenant_user';
}

export const nameOf = ({ schema, name }: { schema: string; name: string }): string => `${schema}.${name}`;

/** The table that a view is mainly about: of those beneath it, the one with most of its columns. */
export function mainTable(catalogue: Catalogue, relation: Relation): Table | undefined {
  const shared = (table: Table) =>
    table.columns.filter((column) => relation.columns.some(({ name }) => name === column.name)).length;
  return relation.bases
    .flatMap((name) => catalogue.tables.get(name) ?? [])
    .toSorted((left, right) => shared(right) - shared(left))[0];
}

/** Whether rows of tenants can be seen through it. */
export function isTenantData(catalogue: Catalogue, relation: Relation): boolean {
  return relation.bases.some((name) => catalogue.tables.get(name)?.tenantColumn);
}

export function primaryKey(table: Table | undefined): string[] {
  return table?.keys.find(({ primary }) => primary)?.columns ?? [];
}
