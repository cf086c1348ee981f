import type pg from 'pg';
import { asOwner, LOCK_TIMEOUT } from './session.ts';
import type { Proposal } from './types.ts';

/** Takes an object back, whether or not it was finished, without a lock that statements wait for. */
export async function dropObject(
  client: pg.Client,
  { kind, object, undo }: Pick<Proposal, 'kind' | 'object' | 'undo'>,
): Promise<void> {
  const statements = {
    index: `drop index concurrently if exists ${object}`,
    statistics: `drop statistics if exists ${object}`,
  };
  const statement = kind === 'index' || kind === 'statistics' ? statements[kind] : undo;
  if (!statement) return;
  await asOwner(client, async () => {
    // It waits for whoever still uses the index, however long that takes: given up, it would leave an invalid one.
    if (kind === 'index') await client.query('set lock_timeout = 0');
    try {
      await client.query(statement);
    } finally {
      await client.query(`select set_config('lock_timeout', $1, false)`, [LOCK_TIMEOUT]);
    }
  });
}
