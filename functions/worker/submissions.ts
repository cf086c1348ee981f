import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { Logger } from '../log.ts';
import { startConsumer } from './dispatcher.ts';
import { type Entry, takeBacklogs, takeRound } from './ledger.ts';
import type { Purge, Submission } from './messages.ts';
import type { JobQueue } from './queue.ts';

/** The consumer `jobs`: hands submissions and deleted files to the queue, each exactly once. */

const CONSUMER = 'jobs';

/** An insert, or the return of a job that had ended. */
function isSubmission({ table_name, operation, old, new: row }: Entry): boolean {
  if (table_name !== 'app.jobs') return false;
  if (operation === 'insert') return row?.status === 'queued';
  const ended = old?.status === 'failed' || old?.status === 'cancelled';
  return operation === 'update' && ended && row?.status === 'queued';
}

/**
 * The id of what an entry puts into the queue: handed over again after a crash, the queue has it already.
 * A UUID of version 8 (RFC 9562, section 5.8).
 */
export function messageId({ tenant_id, position }: Pick<Entry, 'tenant_id' | 'position'>): string {
  const hex = createHash('sha256').update(`${tenant_id} ${position}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Puts what the entries ask for into the queue, inside the transaction that took them. */
export async function handOver(queue: JobQueue, client: pg.ClientBase, entries: Entry[]): Promise<void> {
  const submissions = new Map<string, Submission[]>();
  const purges: Purge[] = [];
  for (const entry of entries) {
    const id = messageId(entry);
    if (isSubmission(entry)) {
      const type = String(entry.new?.type);
      const message = {
        tenant_id: entry.tenant_id,
        job_id: entry.row_id,
        type,
        submission: String(entry.new?.queued_at),
        ...(typeof entry.new?.traceparent === 'string' ? { traceparent: entry.new.traceparent } : {}),
        handed_back: 0,
      };
      const ofType = submissions.get(type) ?? [];
      ofType.push({ id, message, tier: entry.tier });
      submissions.set(type, ofType);
    } else if (entry.table_name === 'app.files' && entry.operation === 'delete') {
      purges.push({ id, message: { tenant_id: entry.tenant_id, file_id: entry.row_id } });
    }
  }
  for (const [type, ofType] of submissions) await queue.submit(client, type, ofType);
  if (purges.length > 0) await queue.purge(client, purges);
}

/** Follows the ledger for the queue until stopped. */
export function startSubmissions(options: { connectionString: string; queue: JobQueue; log: Logger }) {
  const { connectionString, queue, log } = options;
  return startConsumer({
    connectionString,
    consumer: CONSUMER,
    round: (client) => takeRound(client, CONSUMER, (inside, entries) => handOver(queue, inside, entries)),
    backlogs: (client) => takeBacklogs(client, CONSUMER, (inside, entries) => handOver(queue, inside, entries)),
    log,
  });
}
