import { randomBytes } from 'node:crypto';
import type { Pool } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import { JobFailure, type JobType, parseInput } from '../job.ts';
import { settingsOf } from '../job-settings.ts';
import type { Logger } from '../log.ts';
import type { StorageDriver } from '../storage/driver.ts';
import { traceFlagsOf, traceIdOf } from '../trace.ts';
import { createContext } from './context.ts';
import { ATTEMPTS_EXHAUSTED, CANCELLED, endsLease, type Lease, takeLease } from './lease.ts';
import { AttemptTimeout, limitAttempt } from './limit.ts';
import { type Delivery, DONE, type Handler, type JobMessage, type Outcome } from './messages.ts';
import { openSession } from './session.ts';

export interface RunnerOptions {
  pool: Pool;
  storage: Pick<StorageDriver, 'open' | 'write'>;
  jobs: ReadonlyMap<string, JobType>;
  log: Logger;
  /** Aborts when the worker has to stop: what runs is handed back, without using up an attempt. */
  stopping: AbortSignal;
  /** How long a job of a suspended tenant waits before the next look. */
  suspendedSeconds: number;
}

/** How long a job waits when another whose last attempt died is running here. */
const SUSPECT_SECONDS = 2;

interface JobError {
  code: string;
  message: string;
  /** The code of the last attempt's error, where there is no other attempt. */
  cause?: string;
}

/** What the tenant may read about an error that is tried again. Never the error's own text: it can hold SQL. */
function describe(error: unknown): JobError {
  if (error instanceof AttemptTimeout) return { code: 'job_timeout', message: error.message };
  if (error instanceof RowhouseError) return { code: error.code, message: error.title };
  return { code: 'internal', message: 'The attempt failed; it is tried again' };
}

/** Handles one delivery: runs the job as its tenant, and settles app.jobs before the queue. */
export function createRunner(options: RunnerOptions): Handler<JobMessage> {
  const { pool, storage, jobs, stopping, suspendedSeconds } = options;

  async function run(delivery: Delivery<JobMessage>, lease: Lease, traceparent: string, log: Logger): Promise<unknown> {
    const job = jobs.get(lease.type);
    if (!job) throw new JobFailure('job_type_unknown', `No worker runs ${lease.type}`);
    const input = parseInput(job, lease.input);
    const ends = [delivery.signal, lease.signal, stopping];
    return limitAttempt(settingsOf(job).timeoutSeconds, ends, log, (signal) =>
      job.run(input, createContext({ message: delivery.message, lease, storage, signal, traceparent, log })),
    );
  }

  /** Runs one attempt and settles app.jobs. Throws what ends a lease. */
  async function attempt(
    delivery: Delivery<JobMessage>,
    lease: Lease,
    traceparent: string,
    log: Logger,
  ): Promise<Outcome> {
    const { job_id } = delivery.message;
    const finish = (status: 'succeeded' | 'failed', result: unknown, error: JobError | null) =>
      lease.transaction(async (client) => {
        await lease.flush(client);
        await client.query('select app.finish_job($1, $2, $3, $4, $5)', [
          job_id,
          lease.attempt,
          status,
          JSON.stringify(result ?? null),
          error && JSON.stringify(error),
        ]);
      });
    const requeue = (error: JobError) =>
      lease.transaction((client) =>
        client.query('select app.requeue_job($1, $2, $3)', [job_id, lease.attempt, JSON.stringify(error)]),
      );

    try {
      await finish('succeeded', await run(delivery, lease, traceparent, log), null);
      log.info('job succeeded');
      return DONE;
    } catch (error) {
      if (lease.signal.aborted) throw lease.signal.reason;
      // A finished run is refused the move when it was cancelled in the last second. What a handler asks about other jobs is answered the
      // same: left for that, its own would be running for ever.
      if (endsLease(error) || (error instanceof RowhouseError && error.code === 'job_transition'))
        await lease.confirm();
      // The database refused its result; another attempt would return the same.
      const tooLarge = error instanceof RowhouseError && error.code === 'job_result_too_large';
      if (error instanceof JobFailure || tooLarge) {
        await finish('failed', null, { code: error.code, message: error.message });
        log.info({ code: error.code }, 'job failed');
        return DONE;
      }
      if (stopping.aborted) {
        await requeue({ code: 'worker_stopped', message: 'The worker stopped; another one continues' });
        await delivery.postpone(0, handedBack(delivery.message));
        log.info('job handed back');
        return DONE;
      }
      log.warn({ err: markable(error), last: lease.last }, 'attempt failed');
      const described = describe(error);
      await (lease.last
        ? finish('failed', null, { ...ATTEMPTS_EXHAUSTED, cause: described.code })
        : requeue(described));
      return { settle: lease.last ? 'dead' : 'retry', code: described.code };
    } finally {
      lease.release();
    }
  }

  // A job that kills its worker would take the jobs beside it along, attempt after attempt, until they are all dead
  // letters. So of the jobs whose last attempt died, each worker runs one at a time: an innocent one loses one attempt.
  let suspect: string | undefined;

  return async (delivery) => {
    const { message } = delivery;
    const { tenant_id, job_id, type } = message;
    const traceparent = spanOf(message);
    const log = options.log.child({ tenant_id, job_id, type, trace_id: traceIdOf(traceparent) });
    const session = openSession(pool, tenant_id, `worker:${job_id}`, traceparent);
    const mayTakeOver = () => {
      suspect ??= job_id;
      return suspect === job_id;
    };
    let begun = false;
    try {
      const lease = await takeLease(session, message, log, mayTakeOver);
      if (lease === 'over') return DONE;
      if (lease === 'exhausted') return { settle: 'dead', code: ATTEMPTS_EXHAUSTED.code };
      if (lease === 'refused') {
        await delivery.postpone(SUSPECT_SECONDS, message);
        return DONE;
      }
      begun = true;
      return await attempt(delivery, lease, traceparent, log.child({ attempt: lease.attempt }));
    } catch (error) {
      if (error === CANCELLED) {
        log.info('job cancelled');
        return DONE;
      }
      if (!endsLease(error)) {
        log.warn({ err: error }, 'attempt not settled');
        return { settle: 'retry', code: describe(error).code };
      }
      if (error.code === 'tenant_suspended') {
        await delivery.postpone(suspendedSeconds, begun ? handedBack(message) : message);
      }
      log.info({ code: error.code }, 'job left');
      return DONE;
    } finally {
      if (suspect === job_id) suspect = undefined;
    }
  };
}

/** pino marks the errors that it prints, which one that is frozen does not bear. */
const markable = (thrown: unknown) =>
  Object.isExtensible(thrown) ? thrown : String((thrown as Error)?.stack ?? thrown);

/** A span of this delivery in the trace of the submission; a job without one is a trace of its own, the same in each attempt. */
function spanOf({ job_id, traceparent }: JobMessage): string {
  const [trace, flags] =
    traceparent === undefined
      ? [job_id.replaceAll('-', ''), '00']
      : [traceIdOf(traceparent), traceFlagsOf(traceparent)];
  return `00-${trace}-${randomBytes(8).toString('hex')}-${flags}`;
}

const handedBack = (message: JobMessage): JobMessage => ({ ...message, handed_back: message.handed_back + 1 });
