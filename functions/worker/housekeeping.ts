import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../database.ts';
import type { Logger } from '../log.ts';

const EVERY_MS = 10 * 60_000;
/** A function that has removed as many has not removed all. */
const BATCH = 10_000;

/** Functions that remove a batch of what has expired and return how many. Harmless to repeat, and to run in several workers at once. */
const PURGES = [
  'auth.purge_idempotency_keys',
  'auth.purge_refresh_tokens',
  'webhook.purge_deliveries',
  'webhook.purge_orphans',
] as const;

/** Removes what has expired, now and every ten minutes. */
export function startHousekeeping({ pool, log }: { pool: Pool; log: Logger }) {
  const stopping = new AbortController();

  async function purge(name: string): Promise<void> {
    let removed = 0;
    let batch: number;
    // Each batch is a transaction of its own: none holds locks for long.
    do {
      const { rows } = await pool.query<{ removed: string }>(`select ${name}() as removed`);
      batch = Number(rows[0]?.removed ?? 0);
      removed += batch;
    } while (batch >= BATCH && !stopping.signal.aborted);
    if (removed > 0) log.info({ purge: name, removed }, 'expired rows removed');
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      for (const name of PURGES) {
        await purge(name).catch((error: Error) => log.warn({ purge: name, error: error.message }, 'purge failed'));
      }
      await delay(EVERY_MS, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }

  const running = run();
  return {
    async stop(): Promise<void> {
      stopping.abort();
      await running;
    },
  };
}
