import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { connected } from '../../functions/database.ts';
import { createDatabase, prepareDatabase } from '../../functions/stack/install.ts';
import { type DatabaseUrls, databaseUrls } from '../../functions/stack/secrets.ts';

/** A database of the test cluster that db/database.sql has prepared and no migration has touched. */
export interface BlankDatabase {
  urls: DatabaseUrls;
  drop(): Promise<void>;
}

export async function createBlankDatabase(): Promise<BlankDatabase> {
  const cluster = inject('cluster');
  if ('failure' in cluster) throw new Error(`the test cluster could not be made: ${cluster.failure}`);
  const name = `blank_${randomBytes(6).toString('hex')}`;
  const maintenance = databaseUrls(cluster.passwords, cluster.port, 'postgres').admin;
  const urls = databaseUrls(cluster.passwords, cluster.port, name);
  await connected(maintenance, async (client) => {
    // The lock of test/support/stack.ts: two sessions cannot prepare databases at once.
    await client.query(`select pg_advisory_lock(hashtext('clone'))`);
    await createDatabase(maintenance, name);
    await prepareDatabase(urls.admin);
  });
  return {
    urls,
    async drop() {
      await connected(maintenance, (client) => client.query(`drop database ${name} with (force)`));
    },
  };
}
