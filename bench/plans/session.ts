import type { ClientBase } from 'pg';
import type { Statement } from './collect.ts';

/** A transaction as PostgREST's after the gate: sealed for the tenant, in the role of its members. */
export async function enter(client: ClientBase, token: string, mode: 'force_generic_plan' | 'force_custom_plan') {
  await client.query('begin');
  await client.query("select auth.enter($1), set_config('plan_cache_mode', $2, true)", [token, mode]);
  // PostgREST's statements name every relation in full; what it calls without, such as count(), is in pg_catalog.
  await client.query(`set local role tenant_user; set local search_path = v1, public`);
}

/** @param types of all statements, by oid, from typeNames() */
export async function prepare(client: ClientBase, name: string, statement: Statement, types: Map<number, string>) {
  const declared = statement.types.map((oid) => types.get(oid) ?? 'unknown').join(', ');
  await client.query(`prepare ${name}${declared ? ` (${declared})` : ''} as ${statement.text}`);
}

/** What PREPARE calls the types that parameters were declared with. */
export async function typeNames(client: ClientBase, statements: readonly Statement[]): Promise<Map<number, string>> {
  const oids = [...new Set(statements.flatMap(({ types }) => types))];
  const { rows } = await client.query<{ oid: number; name: string }>(
    'select oid::integer, oid::regtype::text as name from unnest($1::integer[]) as oid where oid > 0',
    [oids],
  );
  return new Map(rows.map(({ oid, name }) => [oid, name]));
}

export function execution(client: ClientBase, name: string, { values }: Statement): string {
  const list = values.map((value) => (value === null ? 'null' : client.escapeLiteral(value))).join(', ');
  return `execute ${name}${list ? `(${list})` : ''}`;
}
