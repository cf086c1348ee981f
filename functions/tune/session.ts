import type pg from 'pg';
import { connected } from '../database.ts';
import { RowhouseError } from '../errors.ts';

export const APPLICATION = 'rowhouse tune';
export const LOCK_TIMEOUT = '5s';

/**
 * Statistics are samples of every tenant's values: PostgreSQL shows them to nobody whom row-level security applies to, which is
 * everybody of ours. So whoever tunes is a superuser, or has BYPASSRLS and may become those two.
 * @throws RowhouseError permission_denied, schema_missing
 */
async function checkLogin(client: pg.Client): Promise<void> {
  await client.query('set role none');
  const { rows } = await client.query<{ sees: boolean; becomes: boolean; migrated: boolean }>(
    `select rolsuper or rolbypassrls as sees, pg_has_role('rowhouse_owner', 'set') and pg_has_role('authenticator', 'set') as becomes,
       exists (select from pg_class c join pg_namespace n on n.oid = relnamespace where n.nspname = 'tune' and relname = 'objects') as migrated
     from pg_roles where rolname = session_user`,
  );
  const [login] = rows;
  if (!login?.sees || !login.becomes) {
    throw new RowhouseError('permission_denied', {
      detail: login?.sees
        ? 'this login may not become rowhouse_owner and authenticator'
        : 'PostgreSQL hides the statistics from this login, because row-level security applies to it',
      hint: 'Connect as a superuser, or as a login with BYPASSRLS that is a member of rowhouse_owner, authenticator, pg_read_all_data and pg_read_all_stats.',
    });
  }
  if (!login.migrated) {
    throw new RowhouseError('schema_missing', {
      detail: 'there is no table tune.objects',
      hint: 'Run: npx rowhouse migrate up',
    });
  }
}

/**
 * One tuner at a time in a database. The lock is the session's: while a build of a killed one still runs in the server, it is held.
 * @throws RowhouseError conflict
 */
async function takeDatabase(client: pg.Client): Promise<void> {
  const { rows } = await asOwner(client, () =>
    client.query<{ taken: boolean }>(`select pg_try_advisory_lock(hashtextextended('rowhouse tune', 0)) as taken`),
  );
  if (rows[0]?.taken) return;
  throw new RowhouseError('conflict', {
    detail: 'another rowhouse tune works in this database',
    hint: 'Wait for it. One that was killed ends within seconds.',
  });
}

/** Runs `work` on a connection that may tune, and is the only one that does. */
export function tuning<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return connected(
    url,
    async (client) => {
      await checkLogin(client);
      await takeDatabase(client);
      // A build whose client was killed is given up, instead of going on for hours.
      await client.query(
        `select set_config('client_connection_check_interval', '2s', false), set_config('lock_timeout', $1, false)`,
        [LOCK_TIMEOUT],
      );
      return work(client);
    },
    APPLICATION,
  );
}

/** Runs `work` as the owner of all objects, outside of a transaction. */
export async function asOwner<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('set role rowhouse_owner');
  try {
    return await work();
  } finally {
    await client.query('set role none');
  }
}

/** Runs `work` in a transaction that leaves nothing behind. */
export async function undone<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('begin');
  try {
    return await work();
  } finally {
    await client.query('rollback');
    // They are no part of the transaction.
    await client.query('deallocate all');
  }
}

/** The role for what follows in this transaction. */
export async function become(
  client: pg.Client,
  role: 'none' | 'rowhouse_owner' | 'authenticator' | 'tenant_user',
): Promise<void> {
  await client.query(`set local role ${role}`);
}

/**
 * Seals this transaction for the tenant, as one of its owners with the rights of a viewer, and plans as PostgREST's sessions do.
 * The role is tenant_user's afterwards.
 * @returns false where the gate lets nobody in: the tenant is suspended, or has no owner
 */
export async function sealFor(client: pg.Client, tenantId: string): Promise<boolean> {
  await become(client, 'rowhouse_owner');
  const { rows } = await client.query<{ token: string }>(
    `select auth.issue_token(m.tenant_id, m.user_id, 'viewer', '15 minutes') as token
     from tenancy.members m join tenancy.tenants t on t.id = m.tenant_id and t.status = 'active'
     where m.tenant_id = $1 and m.role = 'owner' limit 1`,
    [tenantId],
  );
  if (!rows[0]) return false;
  await become(client, 'authenticator');
  await client.query(`select set_config(split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1), true)
    from pg_db_role_setting, unnest(setconfig) as setting
    where setrole in ('authenticator'::regrole, 'tenant_user'::regrole) and setdatabase in (0, (select oid from pg_database where datname = current_database()))
      and setting ~ '^(plan_cache_mode|enable_|max_parallel_|random_page_cost|work_mem|jit|statement_timeout)' order by setdatabase`);
  await client.query('select auth.enter($1)', [rows[0].token]);
  await become(client, 'tenant_user');
  return true;
}

/** Another session, to stop what this one is at. */
export async function cancelBackend(url: string, processId: number): Promise<void> {
  await connected(url, (client) => client.query('select pg_cancel_backend($1)', [processId]), APPLICATION);
}
