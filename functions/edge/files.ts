import { asTenant, type Client, type Pool, transaction } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import type { StoredObject } from '../storage/driver.ts';
import { parseObjectKey } from '../storage/key.ts';

/** The edge's reads and writes of files. Who may do what is decided by the database. */

/** A row of v1.files as PostgREST would show it. */
export interface FileRow {
  tenant_id: string;
  id: string;
  name: string;
  content_type: string;
  size: number;
  sha256: string | null;
  status: 'pending' | 'stored';
}

export interface Announcement {
  name: string;
  content_type: string;
  size: number;
  sha256?: string | undefined;
}

/** Creates the row of a file that is going to be uploaded, as the token's bearer. */
export function announceFile(pool: Pool, token: string, file: Announcement): Promise<FileRow> {
  const { name, content_type, size, sha256 = null } = file;
  return asTenant(pool, token, 'tenant_user', async (client) => {
    const { rows } = await client.query<{ file: FileRow }>(
      `with announced as (
         insert into v1.files (name, content_type, size, sha256) values ($1, $2, $3, $4) returning *)
       select to_jsonb(announced) as file from announced`,
      [name, content_type, size, sha256],
    );
    return firstFile(rows);
  });
}

/** @throws RowhouseError file_not_found, also for another tenant's file */
export function readFile(pool: Pool, token: string, id: string): Promise<FileRow> {
  return asTenant(pool, token, 'tenant_user', async (client) => {
    const { rows } = await client.query<{ file: FileRow }>(
      'select to_jsonb(files) as file from v1.files where id = $1',
      [id],
    );
    return firstFile(rows);
  });
}

/**
 * The row behind an upload URL, which carries no token: the edge looks as itself, inside the tenant's walls.
 * @throws RowhouseError file_not_found, file_exists, tenant_suspended
 */
export function readPendingUpload(pool: Pool, key: string): Promise<FileRow> {
  const { tenantId, fileId } = parseObjectKey(key);
  return asService(pool, tenantId, async (client) => {
    const { rows } = await client.query<{ file: FileRow }>(
      "select to_jsonb(files) as file from app.files where tenant_id = $1 and id = $2 and kind = 'upload'",
      [tenantId, fileId],
    );
    const file = firstFile(rows);
    if (file.status === 'stored') {
      throw new RowhouseError('file_exists', { hint: 'A file is written once: start another upload.' });
    }
    return file;
  });
}

/**
 * Marks a file stored. `publish` runs while the row is locked and before it is committed, so that of two uploads of one
 * file only the first puts its body in place.
 * @throws RowhouseError file_not_found, file_exists, upload_checksum, tenant_suspended
 */
export function markStored(
  pool: Pool,
  key: string,
  { size, sha256 }: StoredObject,
  publish?: () => Promise<void>,
): Promise<void> {
  const { tenantId, fileId } = parseObjectKey(key);
  return asService(pool, tenantId, async (client) => {
    await client.query('select app.mark_file_stored($1, $2, $3)', [fileId, size, sha256]);
    await publish?.();
  });
}

/** One transaction of the edge itself in one tenant; its token never leaves the database. */
function asService<T>(pool: Pool, tenantId: string, work: (client: Client) => Promise<T>): Promise<T> {
  return transaction(pool, async (client) => {
    await client.query(
      "select auth.enter(auth.issue_service_token($1, 'edge')), set_config('role', 'rowhouse_edge', true)",
      [tenantId],
    );
    return work(client);
  });
}

function firstFile(rows: { file: FileRow }[]): FileRow {
  const [row] = rows;
  if (!row) throw new RowhouseError('file_not_found');
  return row.file;
}
