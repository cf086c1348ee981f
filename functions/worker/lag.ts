import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../database.ts';
import type { Logger } from '../log.ts';
import { keepMarks } from './marks.ts';

/** At most; more often where less is tolerated. */
const EVERY_MS = 15_000;

interface Lag {
  consumer: string;
  entries: number;
  seconds: number;
  held_back_by: number[];
  /** Transactions without a process, by the id that they were prepared with. */
  prepared: string[] | null;
}

/**
 * Says again and again which consumers of the ledger are further behind than `warnSeconds`, and when they no longer are; and keeps marks of
 * where they are, for after a restore.
 * Every worker does: one that cannot follow may be the only one that runs.
 */
export function startLagWatch({ pool, warnSeconds, log }: { pool: Pool; warnSeconds: number; log: Logger }) {
  const stopping = new AbortController();
  const late = new Set<string>();

  async function look(): Promise<void> {
    await keepMarks(pool, log);
    await pool.query('select webhook.skip_entries()');
    const { rows } = await pool.query<Lag>(
      `select consumer, sum(entries_behind)::int as entries, coalesce(max(seconds_behind), 0)::float8 as seconds,
         array_agg(distinct held_back_by) filter (where held_back_by is not null and entries_behind > 0) as held_back_by,
         array_agg(distinct prepared) filter (where prepared is not null and entries_behind > 0) as prepared
       from ledger.lag() group by consumer`,
    );
    for (const { consumer, entries, seconds, held_back_by, prepared } of rows) {
      if (seconds > warnSeconds) {
        late.add(consumer);
        log.warn(
          { consumer, entries, seconds, held_back_by, ...(prepared && { prepared }) },
          'the ledger is not followed',
        );
      } else if (late.delete(consumer)) {
        log.info({ consumer, entries, seconds }, 'the ledger is followed again');
      }
    }
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      await look().catch((error: Error) => log.warn({ error: error.message }, 'lag not read'));
      await delay(Math.min(EVERY_MS, warnSeconds * 500), undefined, { signal: stopping.signal }).catch(() => {});
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
