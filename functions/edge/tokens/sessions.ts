import type { Pool } from '../../database.ts';
import { fromDatabase, RowhouseError } from '../../errors.ts';

/** What auth.grant_session() returns. */
export interface Session {
  token: string;
  tenant_id: string;
  expires_in: number;
  refresh_token: string;
}

export interface SessionOptions {
  tokenTtlSeconds: number;
  refreshTtlSeconds: number;
}

/** Sessions of members whom an issuer vouches for, kept in the database. */
export function createSessions(pool: Pool, { tokenTtlSeconds, refreshTtlSeconds }: SessionOptions) {
  const call = async (text: string, values: unknown[]): Promise<Session | null> => {
    try {
      const { rows } = await pool.query<{ session: Session | null }>(`select ${text} as session`, values);
      return rows[0]?.session ?? null;
    } catch (error) {
      throw fromDatabase(error);
    }
  };
  const found = (session: Session | null): Session => {
    if (!session) throw new RowhouseError('refresh_token_invalid', { hint: 'sign in again' });
    return session;
  };

  return {
    /**
     * @param subject whom the issuer signed for: verified here, since the database takes it at its word
     * @param tenant which of the member's; not needed where there is one
     * @throws RowhouseError tenant_required, membership_required, tenant_suspended
     */
    async begin(issuer: string, subject: string, tenant: string | undefined): Promise<Session> {
      const text = 'auth.exchange_external($1, $2, $3, make_interval(secs => $4), make_interval(secs => $5))';
      return found(await call(text, [issuer, subject, tenant ?? null, tokenTtlSeconds, refreshTtlSeconds]));
    },
    /** @throws RowhouseError refresh_token_invalid, tenant_suspended */
    async renew(refreshToken: string): Promise<Session> {
      return found(await call('auth.refresh_session($1, make_interval(secs => $2))', [refreshToken, tokenTtlSeconds]));
    },
    /** Ends the session of a refresh token; nothing happens where it is unknown. */
    async end(refreshToken: string): Promise<void> {
      await call('auth.revoke_refresh_token($1)', [refreshToken]);
    },
  };
}

export type Sessions = ReturnType<typeof createSessions>;
