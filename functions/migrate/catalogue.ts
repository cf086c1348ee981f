import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import { packageRoot } from '../paths.ts';

const query = join(packageRoot, 'db/catalog.sql');

/**
 * The whole catalogue of our schemas as sorted rows of text; two databases are built alike if these are equal.
 * @throws Error where the query returns no row: an empty comparison would always hold.
 */
export async function readCatalogue(client: Client): Promise<string[]> {
  await client.query("begin; set local search_path = ''");
  try {
    const { rows } = await client.query<{ row: string }>(await readFile(query, 'utf8'));
    if (rows.length === 0) throw new Error('db/catalog.sql returned no row: nothing was compared');
    return rows.map(({ row }) => row);
  } finally {
    await client.query('rollback');
  }
}

/** Rows that only one of two catalogues has: `- ` the first, `+ ` the second. Empty where they are equal. */
export function diffCatalogues(first: string[], second: string[]): string[] {
  const inFirst = new Set(first);
  const inSecond = new Set(second);
  return [
    ...first.filter((row) => !inSecond.has(row)).map((row) => `- ${row}`),
    ...second.filter((row) => !inFirst.has(row)).map((row) => `+ ${row}`),
  ];
}
