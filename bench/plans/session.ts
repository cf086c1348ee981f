import type { ClientBase } from 'pg';
import type { Statement } from './collect.ts';

/** What PostgREST's login, and PostgREST for the role of a request, set for the planner; and what the server has without it. */
export interface PlannerSetting {
  name: string;
  shipped: string;
  standard: string;
}

export async function plannerSettings(client: ClientBase): Promise<PlannerSetting[]> {
  const { rows } = await client.query<PlannerSetting>(
    `select s.name, substr(pair, strpos(pair, '=') + 1) as shipped, s.reset_val as standard
     from pg_db_role_setting, unnest(setconfig) as pair join pg_settings s on s.name = split_part(pair, '=', 1)
     where setrole in ('authenticator'::regrole, 'tenant_user'::regrole) and setdatabase in (0, (select oid from pg_database where datname = current_database()))
       and s.name !~ '_timeout$' order by setdatabase`,
  );
  return rows;
}

/** From here on the transaction plans as PostgREST's sessions do, or as nobody does: anew, with all that PostgreSQL can do. */
export async function planAs(client: ClientBase, mode: 'generic' | 'custom', settings: readonly PlannerSetting[]) {
  const chosen = settings.map(({ name, shipped, standard }) => [name, mode === 'generic' ? shipped : standard]);
  await client.query(`select set_config(pair ->> 0, pair ->> 1, true) from jsonb_array_elements($1) as pair`, [
    JSON.stringify([...chosen, ['plan_cache_mode', `force_${mode}_plan`]]),
  ]);
}

/** A transaction as PostgREST's after the gate: sealed for the tenant, in the role of its members, with PostgREST's plans. */
export async function enter(client: ClientBase, token: string, settings: readonly PlannerSetting[]) {
  await client.query('begin');
  await client.query('select auth.enter($1)', [token]);
  await planAs(client, 'generic', settings);
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
