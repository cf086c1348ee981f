import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connected } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import { applyBook, readBook } from '../migrate/book.ts';
import { migrateUp } from '../migrate/dbmate.ts';
import { createDatabase, prepareDatabase } from '../stack/install.ts';
import type { Point } from './points.ts';

export type BuiltPoint = Exclude<Point, { kind: 'database' }>;

/**
 * Refuses a server on which no scratch database can be built: db/database.sql needs a superuser, and roles to grant to.
 * @throws RowhouseError permission_denied, schema_missing
 */
async function refuseUnfit(adminUrl: string): Promise<void> {
  const { rows } = await connected(adminUrl, (client) =>
    client.query<{ superuser: boolean; installed: boolean }>(
      `select rolsuper as superuser, to_regrole('rowhouse_owner') is not null as installed from pg_roles where rolname = current_user`,
    ),
  );
  if (!rows[0]?.superuser) {
    throw new RowhouseError('permission_denied', {
      detail: 'a point of the migrations is built in a scratch database, which this login may not make',
      hint: 'Name a superuser of a development server with --database, or none: then a temporary server is started.',
    });
  }
  if (!rows[0].installed) {
    throw new RowhouseError('schema_missing', {
      detail: 'the server that the scratch database would be built on lacks our roles',
      hint: 'Run there, as a superuser: psql -f db/roles.sql',
    });
  }
}

/** The superuser works as the owner from its first statement, as the migrator does. */
function asOwner(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  url.searchParams.set('options', '-c role=rowhouse_owner');
  return url.href;
}

async function build(url: string, point: BuiltPoint): Promise<void> {
  if (point.kind === 'book') {
    const objects = await readBook();
    await connected(asOwner(url), (client) => applyBook(client, objects));
    return;
  }
  const dir = await mkdtemp(join(tmpdir(), 'rowhouse-migrations-'));
  try {
    await Promise.all(point.files.map((file) => copyFile(join(point.dir, file), join(dir, file))));
    await migrateUp(asOwner(url), { dir });
  } finally {
    await rm(dir, { recursive: true });
  }
}

/**
 * Builds a point in a database of its own, runs `work` with its URL, and drops it.
 * @param adminUrl of a superuser, any database
 * @throws RowhouseError permission_denied, schema_missing, book_invalid, migration_failed
 */
export async function withScratchDatabase<T>(
  adminUrl: string,
  point: BuiltPoint,
  work: (url: string) => Promise<T>,
): Promise<T> {
  await refuseUnfit(adminUrl);
  const name = `rowhouse_diff_${randomBytes(6).toString('hex')}`;
  const scratch = new URL(adminUrl);
  scratch.pathname = `/${name}`;
  return connected(adminUrl, async (admin) => {
    try {
      // Preparing a database writes to catalogues that the whole cluster shares: two sessions cannot at once.
      await admin.query(`select pg_advisory_lock(hashtext('clone'))`);
      await createDatabase(adminUrl, name);
      await prepareDatabase(scratch.href);
      await admin.query(`select pg_advisory_unlock(hashtext('clone'))`);
      await build(scratch.href, point);
      return await work(scratch.href);
    } finally {
      await admin.query(`drop database if exists ${name} with (force)`);
    }
  });
}
