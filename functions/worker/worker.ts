import type { WorkerConfig } from '../config.ts';
import { createPool, type Pool } from '../database.ts';
import type { JobType } from '../job.ts';
import { settingsOf } from '../job-settings.ts';
import type { Logger } from '../log.ts';
import { createStorage } from '../storage/storage.ts';
import { watchDeadLetters } from './dead-letters.ts';
import { startHousekeeping } from './housekeeping.ts';
import { startIntake } from './intake.ts';
import { startLagWatch } from './lag.ts';
import { startLater } from './later.ts';
import { createPurge } from './purge.ts';
import { openQueue } from './queue.ts';
import { PURGE } from './queue-settings.ts';
import { createRunner } from './runner.ts';
import { startScheduler } from './scheduler.ts';
import { startSubmissions } from './submissions.ts';
import { startWebhooks } from './webhooks/webhooks.ts';

export interface WorkerOptions {
  config: WorkerConfig;
  jobs: ReadonlyMap<string, JobType>;
  log: Logger;
  suspendedSeconds?: number;
}

/** How long running jobs may take to end; with what follows, inside the 15 seconds that a shutdown may take. */
const DRAIN_MS = 8000;

/** Clients may submit what some worker handles. */
async function registerTypes(pool: Pool, jobs: ReadonlyMap<string, JobType>): Promise<void> {
  for (const job of jobs.values()) {
    const { maxAttempts, maxResultBytes } = settingsOf(job);
    await pool.query(
      `insert into tenancy.job_types (type, description, max_attempts, max_result_bytes) values ($1, $2, $3, $4)
       on conflict (type) do update set description = excluded.description, registered_at = now(),
         max_attempts = excluded.max_attempts, max_result_bytes = excluded.max_result_bytes`,
      [job.type, job.description, maxAttempts, maxResultBytes],
    );
  }
}

async function readTierLimits(pool: Pool): Promise<Record<string, number>> {
  const { rows } = await pool.query<{ tier: string; job_concurrency: number }>(
    'select tier, job_concurrency from tenancy.plans',
  );
  return Object.fromEntries(rows.map(({ tier, job_concurrency }) => [tier, job_concurrency]));
}

/**
 * Starts a worker: follows the ledger, runs jobs, removes the bytes of deleted files and what has expired.
 * @returns stop(): lets running jobs end for a while, then hands the rest back
 */
export async function createWorker({ config, jobs, log, suspendedSeconds = 60 }: WorkerOptions) {
  const connectionString = config.WORKER_DATABASE_URL;
  const slots = config.WORKER_CONCURRENCY;
  const storage = await createStorage(config, '');
  const pool = createPool(connectionString, 'rowhouse-worker', slots + 4);
  const stopping = new AbortController();

  const tierLimits = await readTierLimits(pool);
  const types = new Map([...jobs].map(([type, job]) => [type, settingsOf(job)]));
  const queue = await openQueue({ connectionString, types, slots, tierLimits, log });
  await registerTypes(pool, jobs);

  const runner = createRunner({ pool, storage, jobs, log, stopping: stopping.signal, suspendedSeconds });
  const intake = await startIntake({ pool, types: [...jobs.keys()], queue, runner, log });
  await queue.workPurges(createPurge(storage));
  const submissions = startSubmissions({ connectionString, types: [...jobs.keys(), PURGE], queue, log });
  const later = startLater({ pool, queue, log });
  const lag = startLagWatch({ pool, warnSeconds: config.WORKER_LAG_SECONDS, log });
  const deadLetters = watchDeadLetters({ pool, queue, log });
  const housekeeping = startHousekeeping({ pool, log });
  const scheduler = startScheduler({ pool, log });

  const webhooks = await startWebhooks({ connectionString, config, log });

  return {
    async stop(): Promise<void> {
      const sent = webhooks?.stop(DRAIN_MS);
      await scheduler.stop();
      await intake.stop();
      await submissions.stop();
      await later.stop();
      await lag.stop();
      await deadLetters.stop();
      await housekeeping.stop();
      await queue.stop(DRAIN_MS, () => stopping.abort());
      await sent;
      await pool.end();
    },
  };
}
