import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from '../log.ts';
import { type Entry, openLedger } from './ledger.ts';
import type { PurgeMessage, Submission } from './messages.ts';
import type { JobQueue } from './queue.ts';

/** Follows the ledger and hands submissions and deleted files to the queue, each exactly once. */

/** Looks again this soon when a look found nothing, and then dozes: most work comes in bursts. */
const IDLE_LOOKS_MS = [2, 5, 10, 20, 40];
/** A dozing dispatcher looks this often even when nobody calls. */
const DOZE_MS = 3000;
const RECONNECT_MS = [100, 250, 500, 1000, 2000, 5000];

/** An insert, or the return of a job that had ended. */
function isSubmission({ table_name, operation, old, new: row }: Entry): boolean {
  if (table_name !== 'app.jobs') return false;
  if (operation === 'insert') return row?.status === 'queued';
  const ended = old?.status === 'failed' || old?.status === 'cancelled';
  return operation === 'update' && ended && row?.status === 'queued';
}

/** Puts what the entries ask for into the queue, inside the transaction that advances the cursor. */
export async function handOver(queue: JobQueue, client: pg.ClientBase, entries: Entry[]): Promise<void> {
  const submissions = new Map<string, Submission[]>();
  const purges: PurgeMessage[] = [];
  for (const entry of entries) {
    if (isSubmission(entry)) {
      const type = String(entry.new?.type);
      const message = {
        tenant_id: entry.tenant_id,
        job_id: entry.row_id,
        type,
        submission: String(entry.new?.queued_at),
        handed_back: 0,
        recorded: false,
      };
      const ofType = submissions.get(type) ?? [];
      ofType.push({ message, tier: entry.tier });
      submissions.set(type, ofType);
    } else if (entry.table_name === 'app.files' && entry.operation === 'delete') {
      purges.push({ tenant_id: entry.tenant_id, file_id: entry.row_id });
    }
  }
  for (const [type, ofType] of submissions) await queue.submit(client, type, ofType);
  if (purges.length > 0) await queue.purge(client, purges);
}

/**
 * Runs until stopped. Reconnects after any error; entries wait in the ledger meanwhile.
 * @returns stop(), which resolves when the batch in hand has been committed
 */
export function startDispatcher(options: { connectionString: string; queue: JobQueue; log: Logger }) {
  const { connectionString, queue, log } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const pause = (ms: number) => delay(ms, undefined, { signal }).catch(() => {});
  let failures = 0;

  async function follow(): Promise<void> {
    const ledger = await openLedger(connectionString);
    try {
      let idle = 0;
      while (!signal.aborted) {
        const count = await ledger.dispatch((client, entries) => handOver(queue, client, entries));
        failures = 0;
        if (count > 0) {
          log.debug({ count }, 'entries dispatched');
          idle = 0;
        } else if (idle < IDLE_LOOKS_MS.length) {
          await pause(IDLE_LOOKS_MS[idle] ?? 0);
          idle += 1;
        } else {
          const woken = await ledger.sleep(DOZE_MS, signal);
          if (woken === 'called') idle = 0;
          // Entries that an unfinished writer holds back: look again soon, without spinning.
          if (woken === 'work waits') idle = IDLE_LOOKS_MS.length - 1;
        }
      }
    } finally {
      await ledger.close();
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      try {
        await follow();
      } catch (error) {
        const wait = RECONNECT_MS[Math.min(failures, RECONNECT_MS.length - 1)] ?? 0;
        failures += 1;
        log.warn({ error: (error as Error).message, retry_ms: wait }, 'dispatch interrupted');
        await pause(wait);
      }
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
