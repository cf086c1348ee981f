import pg from 'pg';

export interface Condition {
  column: string;
  operator: '=' | '<' | '<=' | '>' | '>=' | '= any' | 'is null' | 'is not null';
}

export interface Order {
  column: string;
  descending: boolean;
  /** As written; null for PostgreSQL's own order, nulls last unless descending. */
  nulls: 'first' | 'last' | null;
}

/** A list of the API: what PostgREST asks for, without the values. */
export interface Shape {
  /** A view of v1, by its short name. */
  relation: string;
  /** Empty: all of them. */
  columns: string[];
  conditions: Condition[];
  order: Order[];
  limited: boolean;
}

export const takesValue = ({ operator }: Condition): boolean => !operator.startsWith('is ');

const SHORT: Record<Condition['operator'], string> = {
  '=': 'eq.…',
  '<': 'lt.…',
  '<=': 'lte.…',
  '>': 'gt.…',
  '>=': 'gte.…',
  '= any': 'in.(…)',
  'is null': 'is.null',
  'is not null': 'not.is.null',
};

const orderName = ({ column, descending, nulls }: Order) =>
  `${column}${descending ? '.desc' : ''}${nulls === null ? '' : `.nulls${nulls}`}`;

/** The shape as a request, for people and as its key. */
export function shapeName({ relation, columns, conditions, order, limited }: Shape): string {
  const parts = [
    ...(columns.length > 0 ? [`select=${columns.join(',')}`] : []),
    ...conditions.map(({ column, operator }) => `${column}=${SHORT[operator]}`),
    ...(order.length > 0 ? [`order=${order.map(orderName).join(',')}`] : []),
    ...(limited ? ['limit=…'] : []),
  ];
  return `/v1/${relation}${parts.length > 0 ? `?${parts.join('&')}` : ''}`;
}

const name = pg.escapeIdentifier;

function where(conditions: readonly Condition[]): string {
  let parameter = 0;
  const terms = conditions.map((condition) => {
    const { column, operator } = condition;
    if (!takesValue(condition)) return `${name(column)} ${operator}`;
    parameter += 1;
    return `${name(column)} ${operator === '= any' ? `= any ($${parameter})` : `${operator} $${parameter}`}`;
  });
  return terms.length > 0 ? ` where ${terms.join(' and ')}` : '';
}

export function orderTerm({ column, descending, nulls }: Order): string {
  return `${name(column)}${descending ? ' desc' : ''}${nulls === null ? '' : ` nulls ${nulls}`}`;
}

/**
 * The statement that PostgREST makes of the shape. Values are parameters there too, LIMIT and OFFSET among them, so the plan that is
 * measured is the one that runs.
 * @param relation qualified and quoted: the view, or a copy of its table
 */
export function statementOf({ columns, conditions, order, limited }: Shape, relation: string): string {
  const list = columns.length > 0 ? columns.map(name).join(', ') : '*';
  const count = conditions.filter(takesValue).length;
  const sorted = order.length > 0 ? ` order by ${order.map(orderTerm).join(', ')}` : '';
  const limit = limited ? ` limit $${count + 1} offset $${count + 2}` : '';
  return `with pgrst_source as (select ${list} from ${relation}${where(conditions)}${sorted}${limit})
    select pg_catalog.count(_postgrest_t), coalesce(json_agg(_postgrest_t), '[]') from (select * from pgrst_source) _postgrest_t`;
}

/** The conditions alone: what they match is not hidden by a LIMIT. */
export function matchesOf({ conditions }: Shape, relation: string): string {
  return `select from ${relation}${where(conditions)}`;
}
