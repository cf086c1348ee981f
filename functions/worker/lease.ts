import type { Client } from '../database.ts';
import { fromDatabase, RowhouseError } from '../errors.ts';
import type { Progress } from '../job.ts';
import type { Logger } from '../log.ts';
import type { JobMessage } from './messages.ts';
import type { TenantSession } from './session.ts';

/** The right to run one attempt of one submission of a job, for as long as nobody cancels it or takes it over. */
export interface Lease {
  type: string;
  input: unknown;
  dueAt: Date | null;
  attempt: number;
  /** Whether there is no other attempt if this one fails. */
  last: boolean;
  /** Aborts with a RowhouseError (lease_lost, tenant_suspended …) or `CANCELLED` as soon as the lease is over. */
  signal: AbortSignal;
  /** A transaction of this attempt. @throws RowhouseError lease_lost */
  transaction<T>(work: (client: Client) => Promise<T>): Promise<T>;
  /** Notes progress; it is written about once a second, with a look at whether the job was cancelled. */
  report(progress: Progress): void;
  /** Writes what was noted last, in the caller's transaction. What the database does not take is left out. @throws RowhouseError what ends a lease */
  flush(client: Client): Promise<void>;
  /** Asks the database whether the attempt may go on. @throws RowhouseError what has ended the lease, CANCELLED */
  confirm(): Promise<void>;
  /** Stops looking. */
  release(): void;
}

/** Compared by identity; an Error, because streams are destroyed with it. */
export const CANCELLED = new Error('the job was cancelled');

/** How soon a cancelled job stops. Each progress report is a row in the ledger, so not more often. */
const LOOK_MS = 1000;

/** What the row of a job says when no attempt is left, however each of them ended: by its code the job is a dead letter (ledger.dead_letters). */
export const ATTEMPTS_EXHAUSTED = {
  code: 'job_attempts_exhausted',
  message: 'Every attempt at this job failed; retry it when the cause is gone',
};

/** What ends a lease, as opposed to a database that does not answer for a moment. */
const ENDING = new Set(['lease_lost', 'job_not_found', 'tenant_suspended', 'tenant_unknown', 'membership_required']);
export const endsLease = (error: unknown): error is RowhouseError =>
  error instanceof RowhouseError && ENDING.has(error.code);

/**
 * A job can be submitted again while an older delivery of it is still about: only the newest submission may run.
 * The row stays locked until the transaction ends.
 * @returns undefined when the submission is over
 */
async function holdSubmission(client: Client, { job_id, submission }: JobMessage): Promise<Held | undefined> {
  const { rows } = await client.query<Held>(
    'select status, attempts, max_attempts, due_at from app.jobs where id = $1 and queued_at = $2 for no key update',
    [job_id, submission],
  );
  return rows[0];
}

interface Held {
  status: string;
  attempts: number;
  max_attempts: number;
  due_at: Date | null;
}

/**
 * Begins the next attempt.
 * @param mayTakeOver asked before a job is taken over from an attempt that ended without a word
 * @returns `over` when there is nothing to run (finished, cancelled, gone, or submitted again), `refused` when it may
 * not be taken over, `exhausted` when its attempts are used up, which ends the job
 */
export async function takeLease(
  session: TenantSession,
  message: JobMessage,
  log: Logger,
  mayTakeOver: () => boolean,
): Promise<Lease | 'over' | 'refused' | 'exhausted'> {
  const started = await session(async (client) => {
    const held = await holdSubmission(client, message);
    if (held?.status !== 'queued' && held?.status !== 'running') return 'over';
    const attempts = held.max_attempts + message.handed_back;
    if (held.attempts >= attempts) {
      await client.query('select app.abandon_job($1, $2)', [message.job_id, JSON.stringify(ATTEMPTS_EXHAUSTED)]);
      return 'exhausted';
    }
    if (held.status === 'running' && !mayTakeOver()) return 'refused';
    const { rows } = await client.query<{ type: string; input: unknown; attempt: number }>(
      'select type, input, attempt from app.start_job($1)',
      [message.job_id],
    );
    return rows[0] ? { ...rows[0], dueAt: held.due_at, last: rows[0].attempt >= attempts } : 'over';
  });
  if (typeof started === 'string') return started;

  const { type, input, dueAt, attempt, last } = started;
  const ending = new AbortController();
  let noted: Progress | undefined;

  const transaction: Lease['transaction'] = (work) =>
    session(async (client) => {
      if (!(await holdSubmission(client, message))) throw new RowhouseError('lease_lost');
      return work(client);
    });

  async function flush(client: Client): Promise<void> {
    if (!noted) return;
    const progress = noted;
    noted = undefined;
    // What a handler reports is its own: it must not keep a finished job from ending, nor a cancelled one from being told.
    await client.query('savepoint progress');
    try {
      await client.query('select app.report_progress($1, $2, $3)', [message.job_id, attempt, JSON.stringify(progress)]);
    } catch (error) {
      await client.query('rollback to savepoint progress');
      if (endsLease(fromDatabase(error))) throw error;
      log.warn({ error: (error as Error).message }, 'progress not written');
    }
  }

  const status = async (client: Client) =>
    (await client.query<{ status: string }>('select app.require_lease($1, $2) as status', [message.job_id, attempt]))
      .rows[0]?.status;

  async function look(): Promise<void> {
    await transaction(async (client) => {
      await flush(client);
      if ((await status(client)) === 'cancelled') ending.abort(CANCELLED);
    }).catch((error) => {
      if (endsLease(error)) ending.abort(error);
      else log.warn({ error: error.message }, 'lease not looked at');
    });
  }

  let looking = Promise.resolve();
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    looking = look().finally(() => {
      busy = false;
    });
  }, LOOK_MS);
  void looking;

  return {
    type,
    input,
    dueAt,
    attempt,
    last,
    signal: ending.signal,
    transaction,
    flush,
    async confirm() {
      if ((await transaction(status)) === 'cancelled') throw CANCELLED;
    },
    report(progress) {
      noted = progress;
    },
    release: () => clearInterval(timer),
  };
}
