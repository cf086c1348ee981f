import { asTenant, type Client, type Pool } from '../database.ts';
import { fromDatabase } from '../errors.ts';

/** Runs transactions inside one tenant's walls, as the worker, under row-level security. */
export type TenantSession = <T>(work: (client: Client) => Promise<T>) => Promise<T>;

/** Service tokens last 15 minutes; a long job takes a new one in good time. */
const TOKEN_USE_MS = 10 * 60_000;

/**
 * @param subject who acts, for the ledger: `worker:<job id>`, `schedule:<schedule id>`
 * @param traceparent the trace that what is done here is part of, for the ledger
 * @returns a function whose transactions are sealed for `tenantId`; raises tenant_suspended and tenant_unknown
 */
export function openSession(pool: Pool, tenantId: string, subject: string, traceparent?: string): TenantSession {
  let minted: { token: string; at: number } | undefined;

  async function token(): Promise<string> {
    if (minted && Date.now() - minted.at < TOKEN_USE_MS) return minted.token;
    const at = Date.now();
    const { rows } = await pool
      .query<{ token: string }>('select auth.issue_service_token($1, $2) as token', [tenantId, subject])
      .catch((error) => {
        throw fromDatabase(error);
      });
    const [row] = rows;
    if (!row) throw new Error('auth.issue_service_token returned no row');
    minted = { token: row.token, at };
    return row.token;
  }

  const headers = traceparent === undefined ? {} : { traceparent };
  return async (work) => asTenant(pool, await token(), 'rowhouse_worker', work, headers);
}
