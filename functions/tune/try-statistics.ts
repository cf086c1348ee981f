import pg from 'pg';
import { type Column, valuesOf } from './columns.ts';
import { estimate, matching } from './measure.ts';
import { schemaOf } from './names.ts';
import type { Recorded } from './recorded.ts';
import type { Source } from './sample.ts';
import { become, sealFor, undone } from './session.ts';
import { shapeName, takesValue } from './shape.ts';

export interface TriedStatistics {
  kind: 'target' | 'statistics';
  columns: string[];
  statement: string;
  estimated: number;
  better: number;
  matching: number;
}

/** An estimate that is this many times too high or too low changes plans. */
const WRONG = 10;
/** What has to be left of the error at most. */
const IMPROVED = 0.5;
/** Rows that ANALYZE looks at, for each of a target: of a table with fewer, a higher target learns no more. */
const ROWS_PER_TARGET = 300;
export const TARGET = 1000;

export const errorOf = (estimated: number, matches: number): number => {
  const [a, b] = [Math.max(1, estimated), Math.max(1, matches)];
  return Math.max(a / b, b / a);
};

const list = (columns: readonly string[]) => columns.map((column) => pg.escapeIdentifier(column)).join(', ');

/**
 * Tries better statistics of the partition itself for a statement whose estimate is far off. ANALYZE writes into the transaction, so
 * all of it can be taken back; the lock that it takes is one that only autovacuum and DDL wait for.
 * @returns the first that leaves half of the error at most; undefined where nothing does, or nothing is wrong
 */
export async function tryStatistics(
  client: pg.Client,
  { table, partition, rows }: Source,
  tenantId: string,
  columns: ReadonlyMap<string, Column>,
  { shape, values }: Recorded,
): Promise<TriedStatistics | undefined> {
  const sets = values ?? valuesOf(shape, columns);
  const compared = [...new Set(shape.conditions.filter(takesValue).map(({ column }) => column))];
  const equal = [...new Set(shape.conditions.filter(({ operator }) => operator === '=').map(({ column }) => column))];
  const [first] = sets;
  if (!first || compared.length === 0) return undefined;

  async function trial<T>(work: () => Promise<T>): Promise<T | undefined> {
    return undone(client, async () => {
      if (!(await sealFor(client, tenantId))) return undefined;
      return work();
    }).catch((error: unknown) => {
      // Cancelled, or waiting for the lock of another ANALYZE: what cannot be tried is not proposed.
      if (error instanceof pg.DatabaseError) return undefined;
      throw error;
    });
  }
  const expected = () => estimate(client, shape, partition, first);
  const known = await trial(async () => ({
    estimated: await expected(),
    matches: await matching(client, shape, table, sets),
  }));
  if (!known || errorOf(known.estimated, known.matches) < WRONG) return undefined;

  async function changed(statements: readonly string[]): Promise<number | undefined> {
    return trial(async () => {
      await become(client, 'rowhouse_owner');
      for (const statement of statements) await client.query(statement);
      await become(client, 'tenant_user');
      return expected();
    });
  }
  const options: [TriedStatistics['kind'], string[], string[]][] = [];
  if (equal.length >= 2) {
    const create = `create statistics ${schemaOf(partition)}.tune_candidate (ndistinct, dependencies) on ${list(equal)} from ${partition}`;
    options.push(['statistics', equal, [create, `analyze ${partition} (${list(equal)})`]]);
  }
  const { rows: setting } = await client.query<{ target: number }>(
    `select current_setting('default_statistics_target')::integer as target`,
  );
  const sampled = ROWS_PER_TARGET * (setting[0]?.target ?? 100);
  const untouched = compared.filter((column) => columns.get(column)?.target === null);
  for (const column of rows > sampled ? untouched : []) {
    const alter = `alter table ${partition} alter column ${list([column])} set statistics ${TARGET}`;
    options.push(['target', [column], [alter, `analyze ${partition} (${list([column])})`]]);
  }
  for (const [kind, on, statements] of options) {
    const better = await changed(statements);
    if (better === undefined) continue;
    if (errorOf(better, known.matches) <= errorOf(known.estimated, known.matches) * IMPROVED) {
      return {
        kind,
        columns: on,
        statement: shapeName(shape),
        estimated: known.estimated,
        better,
        matching: known.matches,
      };
    }
  }
  return undefined;
}
