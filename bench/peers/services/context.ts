import type { Pool, PoolClient } from 'pg';
import type { Caller } from './tokens.ts';

/** Where a service finds the rows, and what it says to PostgreSQL about its caller first. */
export interface Source {
  /** v1: behind the wall. peer: tables of their own. */
  schema: 'v1' | 'peer';
  /** One statement, and its only value; none where each statement names the tenant itself. */
  context?: { text: string; valueOf(caller: Caller): string };
}

/** `rls`: the same wall. `claims`: RLS over the claims of the token, and nobody asks who is a member still. `plain`: no RLS. */
export const SOURCES: Record<'rls' | 'claims' | 'plain', Source> = {
  rls: {
    schema: 'v1',
    context: {
      text: `select auth.enter($1), set_config('role', 'tenant_user', true)`,
      valueOf: ({ token }) => token,
    },
  },
  claims: {
    schema: 'peer',
    context: {
      text: `select set_config('role', 'peer_user', true), set_config('request.jwt.claims', $1, true)`,
      valueOf: ({ claims }) => JSON.stringify(claims),
    },
  },
  plain: { schema: 'peer' },
};

/**
 * A transaction in which PostgreSQL knows the caller.
 * @param named whether its own statements are prepared
 */
export async function under<T>(
  pool: Pool,
  context: NonNullable<Source['context']>,
  { caller, named, readOnly }: { caller: Caller; named: boolean; readOnly: boolean },
  work: (client: PoolClient) => Promise<T>,
): Promise<T> {
  const name = (of: string) => (named ? { name: of } : {});
  const begin = readOnly ? 'begin read only' : 'begin';
  const client = await pool.connect();
  try {
    await client.query({ ...name(begin), text: begin });
    await client.query({ ...name('context'), text: context.text, values: [context.valueOf(caller)] });
    const result = await work(client);
    await client.query({ ...name('commit'), text: 'commit' });
    return result;
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
}
