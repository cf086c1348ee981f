import pg from 'pg';
import type { Column } from './columns.ts';
import { type Condition, orderTerm, type Shape } from './shape.ts';

/** An index that might serve a statement. */
export interface Candidate {
  /** What stands in parentheses, and behind `where`. */
  keys: string;
  predicate: string | null;
}

const name = pg.escapeIdentifier;
const isEqual = ({ operator }: Condition) => operator === '=';
const isRange = ({ operator }: Condition) => /^[<>]/.test(operator);
const columnsOf = (conditions: readonly Condition[]) => [...new Set(conditions.map(({ column }) => name(column)))];

/** More columns than this are a report, not an index. */
const MOST_KEYS = 6;

/** Equal columns first, then the order: the rows come out sorted, and a LIMIT ends the scan. Else the one range. */
function keyLists({ conditions, order }: Shape): string[][] {
  const equal = columnsOf(conditions.filter(isEqual));
  const any = columnsOf(conditions.filter(({ operator }) => operator === '= any'));
  const range = columnsOf(conditions.filter(isRange));
  const sorted = order.filter(({ column }) => !equal.includes(name(column))).map(orderTerm);
  const without = (keys: readonly string[], used: readonly string[]) =>
    keys.filter((key) => !used.some((term) => term === key || term.startsWith(`${key} `)));
  return [
    [...equal, ...sorted],
    // Behind the order, a column is still tested in the index, without a look at the row.
    [...equal, ...sorted, ...without([...any, ...range], sorted)],
    [...equal, ...any, ...without(range, []).slice(0, 1)],
  ];
}

/**
 * Predicates that a statement without its values can imply: it compares a column (so it is not null), or asks for `is null`. And the
 * tenant itself, which it cannot, since the tenant is known only when it runs; it is tried all the same, so that whoever asks
 * for it sees why not.
 */
function predicates({ conditions }: Shape, columns: ReadonlyMap<string, Column>, tenantId: string): (string | null)[] {
  const found: (string | null)[] = [null, `tenant_id = ${pg.escapeLiteral(tenantId)}`];
  for (const { column, operator } of conditions) {
    const nulls = columns.get(column)?.null_share ?? 0;
    if (operator === 'is null' ? nulls > 0 && nulls <= 0.5 : nulls >= 0.5)
      found.push(`${name(column)} is ${operator === 'is null' ? '' : 'not '}null`);
  }
  return [...new Set(found)];
}

/** The indexes that are worth trying for a statement. Every one leads with the tenant, whose partition has others, too. */
export function candidatesFor(shape: Shape, columns: ReadonlyMap<string, Column>, tenantId: string): Candidate[] {
  const lists = keyLists(shape).filter((keys) => keys.length <= MOST_KEYS);
  const keys = [...new Set(lists.map((list) => ['tenant_id', ...list].join(', ')))];
  return predicates(shape, columns, tenantId).flatMap((predicate) =>
    keys.filter((key) => key !== 'tenant_id' || predicate !== null).map((key) => ({ keys: key, predicate })),
  );
}

export const definitionOf = ({ keys, predicate }: Candidate): string =>
  `(${keys})${predicate === null ? '' : ` where ${predicate}`}`;
