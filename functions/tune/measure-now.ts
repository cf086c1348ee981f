import pg from 'pg';
import { type Column, valuesOf } from './columns.ts';
import { type Measured, measure } from './measure.ts';
import type { Recorded } from './recorded.ts';
import { sealFor, undone } from './session.ts';
import { shapeName } from './shape.ts';

const CANCELLED = '57014';

/** Runs each statement in a session of the tenant, as it would run now. Those that nobody knows values for are left out. */
export async function measureNow(
  client: pg.Client,
  tenantId: string,
  statements: readonly Recorded[],
  columns: ReadonlyMap<string, Column>,
): Promise<Map<Recorded, Measured>> {
  const measured = new Map<Recorded, Measured>();
  await undone(client, async () => {
    if (!(await sealFor(client, tenantId))) return;
    const { rows } = await client.query<{ ms: number }>(
      `select setting::float8 as ms from pg_settings where name = 'statement_timeout'`,
    );
    for (const statement of statements) {
      const { shape, values } = statement;
      const sets = values ?? valuesOf(shape, columns);
      if (sets.length === 0) continue;
      await client.query('savepoint statement');
      try {
        measured.set(statement, await measure(client, shape, `v1.${pg.escapeIdentifier(shape.relation)}`, sets));
      } catch (error) {
        if (!(error instanceof pg.DatabaseError)) throw error;
        await client.query('rollback to savepoint statement');
        // Anything else is a statement that this tenant could not run either, such as a value that is no uuid.
        if (error.code !== CANCELLED) continue;
        const figures = { ms: rows[0]?.ms ?? 0, rows: 0, read: 0, blocks: 0, cancelled: true } as const;
        measured.set(statement, { statement: shapeName(shape), ...figures, indexes: new Set() });
      }
    }
  });
  return measured;
}
