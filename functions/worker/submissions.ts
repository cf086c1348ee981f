import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { Logger } from '../log.ts';
import { announceTypes } from '../queue/presence.ts';
import { startConsumer } from './dispatcher.ts';
import { type Entry, takeBacklogs, takeRound } from './ledger.ts';
import type { LaterSubmission, Purge, Submission } from './messages.ts';
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

/** When a submission is to start, where that is after it was submitted: both are the database's clock. */
function laterThanNow({ new: row }: Entry): string | undefined {
  const startAfter = row?.start_after;
  if (typeof startAfter !== 'string') return undefined;
  return Date.parse(startAfter) > Date.parse(String(row?.queued_at)) ? startAfter : undefined;
}

/** Whether a job that may wait for its time was cancelled or deleted. */
function isCalledOff({ table_name, operation, old, new: row }: Entry): boolean {
  const over = operation === 'delete' || (operation === 'update' && row?.status === 'cancelled');
  return table_name === 'app.jobs' && over && typeof (row ?? old)?.start_after === 'string';
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
  const later = new Map<string, LaterSubmission | undefined>();
  const purges: Purge[] = [];
  for (const entry of entries) {
    const id = messageId(entry);
    const laterId = messageId({ tenant_id: entry.tenant_id, position: entry.row_id });
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
      const submission = { id, message, tier: entry.tier };
      const startAfter = laterThanNow(entry);
      if (startAfter !== undefined) {
        later.set(laterId, { ...submission, startAfter });
        continue;
      }
      const ofType = submissions.get(type) ?? [];
      ofType.push(submission);
      submissions.set(type, ofType);
    } else if (isCalledOff(entry)) {
      later.set(laterId, undefined);
    } else if (entry.table_name === 'app.files' && entry.operation === 'delete') {
      purges.push({ id, message: { tenant_id: entry.tenant_id, file_id: entry.row_id } });
    }
  }
  for (const [type, ofType] of submissions) await queue.submit(client, type, ofType);
  if (later.size > 0) await queue.submitLater(client, later);
  if (purges.length > 0) await queue.purge(client, purges);
}

export interface SubmissionOptions {
  connectionString: string;
  /** What this worker runs: the session says so (queue/presence.ts). */
  types: readonly string[];
  queue: JobQueue;
  log: Logger;
}

/** Follows the ledger for the queue until stopped. */
export function startSubmissions({ connectionString, types, queue, log }: SubmissionOptions) {
  const announced = new WeakSet<pg.Client>();
  return startConsumer({
    connectionString,
    consumer: CONSUMER,
    async round(client) {
      if (!announced.has(client)) await announceTypes(client, types);
      announced.add(client);
      return takeRound(client, CONSUMER, (inside, entries) => handOver(queue, inside, entries));
    },
    backlogs: (client) => takeBacklogs(client, CONSUMER, (inside, entries) => handOver(queue, inside, entries)),
    log,
  });
}
