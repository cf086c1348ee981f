import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../database.ts';
import type { Logger } from '../log.ts';
import type { Handler, JobMessage } from './messages.ts';
import type { JobQueue } from './queue.ts';

const LOOK_MS = 1000;

export interface IntakeOptions {
  pool: Pool;
  types: readonly string[];
  queue: Pick<JobQueue, 'workJobs' | 'pauseJobs'>;
  runner: Handler<JobMessage>;
  log: Logger;
}

/**
 * Takes jobs of every type that is not paused, and looks once a second which are (tenancy.job_types.paused_at).
 * @returns stop(), after which nothing is resumed any more
 */
export async function startIntake({ pool, types, queue, runner, log }: IntakeOptions) {
  const stopping = new AbortController();
  const taken = new Set<string>();

  async function look(): Promise<void> {
    const { rows } = await pool.query<{ type: string }>(
      'select type from tenancy.job_types where paused_at is not null and type = any ($1)',
      [types],
    );
    const paused = new Set(rows.map(({ type }) => type));
    for (const type of types) {
      if (stopping.signal.aborted || paused.has(type) !== taken.has(type)) continue;
      if (paused.has(type)) {
        taken.delete(type);
        await queue.pauseJobs(type);
        log.warn({ type }, 'job type paused');
      } else {
        taken.add(type);
        await queue.workJobs(type, runner);
        log.info({ type }, 'job type taken');
      }
    }
  }

  await look();
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await delay(LOOK_MS, undefined, { signal: stopping.signal }).catch(() => {});
      await look().catch((error: Error) => log.warn({ error: error.message }, 'paused job types not read'));
    }
  })();

  return {
    async stop(): Promise<void> {
      stopping.abort();
      await running;
    },
  };
}
