import pg from 'pg';
import { fromDatabase } from './errors.ts';

export type Pool = pg.Pool;
export type Client = pg.PoolClient;

/** Roles that a session may take after its context is sealed. */
export type SessionRole = 'tenant_user' | 'operator' | 'rowhouse_worker' | 'rowhouse_edge';

export function createPool(connectionString: string, applicationName: string, max = 8, connectMs = 5000): Pool {
  const pool = new pg.Pool({
    connectionString,
    application_name: applicationName,
    max,
    connectionTimeoutMillis: connectMs,
  });
  // A connection that the server closes must not end the process, idle or between two queries: the next query reports it.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/**
 * Runs `work` on one connection of its own, which is closed afterwards.
 * @throws what `pg` throws, unchanged, where the server cannot be reached
 */
export async function connected<T>(
  connectionString: string,
  work: (client: pg.Client) => Promise<T>,
  applicationName = 'rowhouse',
): Promise<T> {
  const client = new pg.Client({
    connectionString,
    application_name: applicationName,
    connectionTimeoutMillis: 5000,
  });
  client.on('error', () => {}); // The query under way reports a lost connection.
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}

/** Runs `work` in one transaction; rolls back on any error, which arrives as a RowhouseError where one fits. */
export async function transaction<T>(pool: Pool, work: (client: Client) => Promise<T>): Promise<T> {
  let client: Client | undefined;
  let broken: Error | undefined;
  try {
    client = await pool.connect();
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client?.query('rollback').catch((rollbackError: Error) => {
      broken = rollbackError;
    });
    throw fromDatabase(error);
  } finally {
    client?.release(broken);
  }
}

/**
 * Runs `work` in one transaction sealed for the token's tenant, as `role`, under row-level security.
 * The token travels as a bind parameter: SQL text can be read by other sessions of the same role.
 * @param headers what the ledger notes about where a change comes from, as PostgREST passes it: `traceparent`
 */
export function asTenant<T>(
  pool: Pool,
  token: string,
  role: SessionRole,
  work: (client: Client) => Promise<T>,
  headers: Record<string, string> = {},
): Promise<T> {
  return transaction(pool, async (client) => {
    await client.query("select auth.enter($1), set_config('role', $2, true), set_config('request.headers', $3, true)", [
      token,
      role,
      JSON.stringify(headers),
    ]);
    return work(client);
  });
}
