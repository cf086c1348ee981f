import { createPool, type Pool } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import { DISPOSABLE } from '../stack/install.ts';
import type { ProveTarget } from './types.ts';

export interface OpenTarget extends ProveTarget {
  pool: Pool;
  /** What PostgREST exposes, the default one first. */
  schemas: string[];
}

async function requireDisposable(pool: Pool, { allowAnyDatabase }: ProveTarget): Promise<void> {
  const { rows } = await pool.query<{ name: string; comment: string | null }>(
    `select datname as name, shobj_description(oid, 'pg_database') as comment from pg_database where datname = current_database()`,
  );
  const [database] = rows;
  if (allowAnyDatabase || database?.comment?.includes(DISPOSABLE)) return;
  throw new RowhouseError('database_not_disposable', {
    detail: `The database ${database?.name} is not marked as disposable.`,
    hint: `Prove a copy; or mark it: comment on database "${database?.name}" is '${DISPOSABLE}'; or give --allow-any-database.`,
  });
}

/** PostgREST names its schemas when it is asked for one that it does not serve. */
async function exposedSchemas(postgrest: string): Promise<string[]> {
  try {
    const response = await fetch(postgrest, { headers: { 'accept-profile': 'rowhouse prove' } });
    const { message } = (await response.json()) as { message?: string };
    const list = /following: (.+)$/.exec(message ?? '')?.[1]?.split(', ');
    if (list) return list;
    throw new Error(`it answered ${response.status} ${message ?? ''}`);
  } catch (error) {
    throw new RowhouseError('upstream_unavailable', {
      detail: `No PostgREST answers as expected at ${postgrest}: ${(error as Error).message}`,
      hint: 'Start the stack with: npm start   or name another with --postgrest.',
      cause: error,
    });
  }
}

/**
 * Connects, after looking at whether the database may be written to.
 * @throws RowhouseError database_not_disposable, upstream_unavailable
 */
export async function openTarget(target: ProveTarget): Promise<OpenTarget> {
  const pool = createPool(target.database, 'rowhouse-prove', 3);
  try {
    await requireDisposable(pool, target);
    return { ...target, pool, schemas: await exposedSchemas(target.postgrest) };
  } catch (error) {
    await pool.end();
    throw error;
  }
}
