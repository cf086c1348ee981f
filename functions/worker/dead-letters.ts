import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { ATTEMPTS_EXHAUSTED } from './lease.ts';
import type { DeadLetter } from './messages.ts';
import type { JobQueue } from './queue.ts';
import { openSession } from './session.ts';

const LOOK_MS = 2000;

/**
 * Fails the job of a dead letter, if it is still that submission and not over.
 * @returns whether the end of the job is known now: false while its tenant is suspended
 */
async function recordEnd(pool: Pool, { message }: DeadLetter): Promise<boolean> {
  const { tenant_id, job_id, submission } = message;
  try {
    await openSession(
      pool,
      tenant_id,
      `worker:${job_id}`,
    )((client) =>
      client.query('select app.abandon_job(id, $3) from app.jobs where id = $1 and queued_at = $2', [
        job_id,
        submission,
        JSON.stringify(ATTEMPTS_EXHAUSTED),
      ]),
    );
    return true;
  } catch (error) {
    const code = error instanceof RowhouseError ? error.code : undefined;
    if (code === 'tenant_unknown') return true;
    if (code === 'tenant_suspended') return false;
    throw error;
  }
}

/** Writes the ends that the queue's dead letters tell of into app.jobs, which is where dead jobs are listed and redriven; then the letter goes. */
export function watchDeadLetters(options: { pool: Pool; queue: JobQueue; log: Logger }) {
  const { pool, queue, log } = options;
  const stopping = new AbortController();

  async function look(): Promise<void> {
    for (const letter of await queue.deadLetters()) {
      if (stopping.signal.aborted) return;
      if (!(await recordEnd(pool, letter))) continue;
      await queue.removeDead(letter);
      const { tenant_id, job_id, type } = letter.message;
      log.error({ tenant_id, job_id, type }, 'job is among the dead letters');
    }
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      await look().catch((error: Error) => log.warn({ error: error.message }, 'dead letters not read'));
      await delay(LOOK_MS, undefined, { signal: stopping.signal }).catch(() => {});
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
