import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../database.ts';
import type { Logger } from '../log.ts';

const EVERY_MS = 10 * 60_000;

/** Functions that remove what has expired and return how many. Harmless to repeat, and to run in several workers at once. */
const PURGES = ['auth.purge_idempotency_keys', 'auth.purge_refresh_tokens'] as const;

/** Removes what has expired, now and every ten minutes. */
export function startHousekeeping({ pool, log }: { pool: Pool; log: Logger }) {
  const stopping = new AbortController();

  async function purge(name: string): Promise<void> {
    const { rows } = await pool.query<{ removed: string }>(`select ${name}() as removed`);
    const removed = Number(rows[0]?.removed ?? 0);
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
