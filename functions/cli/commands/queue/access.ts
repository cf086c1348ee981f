import type pg from 'pg';
import { connected } from '../../../database.ts';
import { RowhouseError } from '../../../errors.ts';
import { atDatabase, type DatabaseOptions } from '../../database.ts';

const LOGIN_HINT = "the worker's login owns the queue: --database postgres://rowhouse_worker:…";

/** The queue's tables are the worker's own; without them no worker has run here yet. */
async function requireQueue(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ owned: boolean; made: boolean }>(
    `select has_schema_privilege('pgboss', 'usage') as owned,
       exists (select from pg_catalog.pg_class where relname = 'job' and relnamespace = to_regnamespace('pgboss')) as made`,
  );
  if (!rows[0]?.owned)
    throw new RowhouseError('permission_denied', { detail: 'this login may not see the queue', hint: LOGIN_HINT });
  if (!rows[0].made) {
    throw new RowhouseError('schema_missing', {
      detail: 'no worker has run here yet',
      hint: 'npm start   or start a worker',
    });
  }
}

/** Runs `work` as the worker's login. */
export function inQueue<T>(options: DatabaseOptions, work: (client: pg.Client, url: string) => Promise<T>): Promise<T> {
  const run = (url: string) =>
    connected(url, async (client) => {
      await requireQueue(client);
      return work(client, url);
    });
  return atDatabase(options, run, 'worker');
}
