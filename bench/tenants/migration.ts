import type { Client, Pool } from '../../functions/database.ts';

export interface Migration {
  schema: string;
  version: string;
  statements: readonly string[];
}

/**
 * How its statements travel. Migration tools send them one by one; at once is the least that anybody could do, and no tool does.
 */
export type Pace = 'one by one' | 'at once';

/** Where tools note what was applied where. */
export const createVersions = (pool: Pool) =>
  pool.query(
    'create schema versions; create table versions.applied (schema text, version text, primary key (schema, version))',
  );

/** One transaction, and the note that it was made. */
export async function apply(client: Client, { schema, version, statements }: Migration, pace: Pace): Promise<void> {
  const all = [
    'begin',
    `set local search_path to ${schema}`,
    ...statements,
    `insert into versions.applied (schema, version) values ('${schema}', '${version}')`,
    'commit',
  ];
  for (const message of pace === 'at once' ? [all.join(';')] : all) await client.query(message);
}
