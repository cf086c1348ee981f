import type pg from 'pg';
import type { Recording } from './recorded.ts';
import type { Condition, Order, Shape } from './shape.ts';

const NAME = '"((?:[^"]|"")+)"';
const HEAD = new RegExp(
  `^WITH pgrst_source AS \\( SELECT (.+?) FROM "v1"\\.${NAME}\\s+(?:WHERE\\s+(.+?)\\s*)?(?:ORDER BY (.+?)\\s*)?(LIMIT \\$\\d+ OFFSET \\$\\d+ )?\\)\\s+SELECT `,
);
const VIEW = new RegExp(`"v1"\\.${NAME}`);
const COLUMN = `"v1"\\.${NAME}\\.${NAME}`;
const COMPARED = new RegExp(`^${COLUMN}\\s+(?:(=|<=|>=|<|>) \\$\\d+|(= ANY) \\(\\$\\d+\\)|(IS NULL))$`);
const ORDERED = new RegExp(`^${COLUMN}(?: (ASC|DESC))?(?: NULLS (FIRST|LAST))?$`);

function condition(text: string): Condition | undefined {
  const negated = /^NOT\s+(.* IS NULL)$/.exec(text);
  const [, , column, compared, any] = COMPARED.exec(negated?.[1] ?? text) ?? [];
  if (column === undefined) return undefined;
  if (compared) return { column, operator: compared as '=' };
  if (any) return { column, operator: '= any' };
  return { column, operator: negated ? 'is not null' : 'is null' };
}

function order(text: string): Order | undefined {
  const [, , column, direction, nulls] = ORDERED.exec(text.trim()) ?? [];
  if (column === undefined) return undefined;
  return { column, descending: direction === 'DESC', nulls: (nulls?.toLowerCase() as 'first' | undefined) ?? null };
}

/**
 * Reads a statement of PostgREST, as pg_stat_statements shows it, back into its shape.
 * @returns undefined for everything but a list of one view, its conditions joined by `and`
 */
export function parseStatement(text: string): Shape | undefined {
  const [, list = '', relation = '', where, sorted, limit] = HEAD.exec(text) ?? [];
  if (list === '') return undefined;
  const names = list.split(', ').map((part) => new RegExp(`^${COLUMN}$`).exec(part)?.[2]);
  const all = list === `"v1"."${relation}".*`;
  const conditions = where ? where.split(/\s+AND\s+/).map(condition) : [];
  const orders = sorted ? sorted.split(/\s*,\s*/).map(order) : [];
  const parts = [...(all ? [] : names), ...conditions, ...orders];
  if (parts.some((part) => part === undefined)) return undefined;
  return {
    relation,
    columns: all ? [] : (names as string[]),
    conditions: conditions as Condition[],
    order: orders as Order[],
    limited: limit !== undefined,
  };
}

/** From pg_stat_statements, where it is installed: the lists that took most of the time first. */
export async function recordedStatements(client: pg.Client): Promise<Recording> {
  const { rows: place } = await client.query<{ name: string }>(
    `select format('%I.pg_stat_statements', n.nspname) as name from pg_extension e join pg_namespace n on n.oid = extnamespace
     where extname = 'pg_stat_statements'`,
  );
  const record: Recording = { source: 'none', statements: [], unread: 0, time: new Map() };
  if (!place[0]) return record;
  const { rows } = await client.query<{ query: string; calls: number; time: number }>(
    `select query, sum(calls)::float8 as calls, sum(total_exec_time) as time from ${place[0].name}
     where dbid = (select oid from pg_database where datname = current_database()) and query ~ '^WITH pgrst_source AS'
     group by query order by time desc limit 500`,
  );
  record.source = 'pg_stat_statements';
  for (const { query, calls, time } of rows) {
    const view = VIEW.exec(query)?.[1];
    if (view) record.time.set(view, (record.time.get(view) ?? 0) + time);
    const shape = parseStatement(query);
    if (shape) record.statements.push({ shape, calls, time });
    else record.unread += 1;
  }
  return record;
}
