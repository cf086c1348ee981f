import pg from 'pg';
import type { Lab } from '../lab.ts';

/** A login whose password is out, and the roles that it may take. */
export interface Session {
  login: string;
  roles: string[];
  client: pg.Client;
}

/** Opens one session for each login whose URL is known. */
export async function openSessions(lab: Lab): Promise<Session[]> {
  const sessions: Session[] = [];
  for (const url of lab.target.sessions ?? []) {
    const client = new pg.Client({
      connectionString: url,
      application_name: 'rowhouse-prove',
      connectionTimeoutMillis: 5000,
    });
    client.on('error', () => {});
    await client.connect();
    const { rows } = await client.query<{ login: string; roles: string[] }>(
      `select session_user as login, array(select rolname from pg_roles where pg_has_role(session_user, oid, 'set') and rolname !~ '^pg_' order by rolname)::text[] as roles`,
    );
    sessions.push({ client, login: rows[0]?.login as string, roles: rows[0]?.roles ?? [] });
  }
  return sessions;
}

export async function closeSessions(sessions: readonly Session[]): Promise<void> {
  await Promise.all(sessions.map(({ client }) => client.end().catch(() => {})));
}

/** What a statement shows as text: its rows, or the error. */
export async function shown(
  client: pg.Client,
  sql: string,
  values: unknown[] = [],
): Promise<{ text: string; rows: unknown[]; touched: number; failed: boolean }> {
  await client.query('savepoint probing');
  try {
    const { rows, rowCount } = await client.query(sql, values);
    return { text: JSON.stringify(rows), rows, touched: rowCount ?? 0, failed: false };
  } catch (error) {
    await client.query('rollback to savepoint probing');
    const { message, detail, hint } = error as Error & { detail?: string; hint?: string };
    return { text: [message, detail, hint].join('\n'), rows: [], touched: 0, failed: true };
  }
}
