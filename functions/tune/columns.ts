import type pg from 'pg';
import { type Condition, type Shape, takesValue } from './shape.ts';

/** What the catalogue and the statistics say of a column of one partition. */
export interface Column {
  name: string;
  type: string;
  nullable: boolean;
  /** Filled in by the server: not to be copied. */
  generated: boolean;
  /** Null: the server's default. */
  target: number | null;
  null_share: number;
  width: number;
  common: string[] | null;
  bounds: string[] | null;
}

export async function readColumns(client: pg.Client, partition: string): Promise<Map<string, Column>> {
  const { rows } = await client.query<Column>(
    `select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type, not a.attnotnull as nullable,
       a.attgenerated <> '' as generated, a.attstattarget as target, coalesce(s.null_frac, 0)::float8 as null_share,
       coalesce(s.avg_width, 8) as width, s.most_common_vals::text::text[] as common, s.histogram_bounds::text::text[] as bounds
     from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
     left join pg_stats s on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = a.attname and not s.inherited
     where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum`,
    [partition],
  );
  return new Map(rows.map((row) => [row.name, row]));
}

const at = (list: readonly string[], part: number) => list[Math.round((list.length - 1) * part)] ?? '';

/** A value to ask for: a common one or a rare one; of a range, the part that is asked for most often, its newest or oldest tenth. */
function valueFor({ operator }: Condition, column: Column | undefined, rare: boolean): string | undefined {
  const { common, bounds } = column ?? {};
  const list = common ?? bounds;
  if (!list || list.length === 0) return undefined;
  if (operator === '=') return common ? at(common, rare ? 1 : 0) : at(list, rare ? 0.9 : 0.5);
  if (operator === '= any') return arrayLiteral(rare ? [at(list, 1)] : [at(list, 0), at(list, 0.5)]);
  const ordered = bounds ?? list;
  return at(ordered, operator.startsWith('>') ? 0.9 : 0.1);
}

const arrayLiteral = (values: readonly string[]) =>
  `{${values.map((value) => `"${value.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`;

const LIMIT = '20';

/**
 * Values for the placeholders of a shape, from the statistics of the partition: once common ones and once rare ones.
 * @returns empty where the statistics have none
 */
export function valuesOf(shape: Shape, columns: ReadonlyMap<string, Column>): string[][] {
  const sets = [false, true].map((rare) =>
    shape.conditions.filter(takesValue).map((condition) => valueFor(condition, columns.get(condition.column), rare)),
  );
  const whole = sets.filter((set): set is string[] => set.every((value) => value !== undefined));
  const limited = whole.map((set) => (shape.limited ? [...set, LIMIT] : set));
  return [...new Map(limited.map((set) => [JSON.stringify(set), set])).values()];
}
