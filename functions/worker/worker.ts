import type { WorkerConfig } from '../config.ts';
import { createPool, type Pool } from '../database.ts';
import type { JobType } from '../job.ts';
import type { Logger } from '../log.ts';
import { createStorage } from '../storage/storage.ts';
import { watchDeadLetters } from './dead-letters.ts';
import { startDispatcher } from './dispatcher.ts';
import { startHousekeeping } from './housekeeping.ts';
import { createPurge } from './purge.ts';
import { openQueue } from './queue.ts';
import { createRunner } from './runner.ts';

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
  for (const { type, description } of jobs.values()) {
    await pool.query(
      `insert into tenancy.job_types (type, description) values ($1, $2)
       on conflict (type) do update set description = excluded.description, registered_at = now()`,
      [type, description],
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
  const pool = createPool(connectionString, 'rowhouse-worker', slots + 2);
  const stopping = new AbortController();

  const tierLimits = await readTierLimits(pool);
  const queue = await openQueue({ connectionString, types: [...jobs.keys()], slots, tierLimits, log });
  await registerTypes(pool, jobs);

  const runner = createRunner({ pool, storage, jobs, log, stopping: stopping.signal, suspendedSeconds });
  for (const type of jobs.keys()) await queue.workJobs(type, runner);
  await queue.workPurges(createPurge(storage));
  const dispatcher = startDispatcher({ connectionString, queue, log });
  const deadLetters = watchDeadLetters({ pool, queue, log });
  const housekeeping = startHousekeeping({ pool, log });

  return {
    async stop(): Promise<void> {
      await dispatcher.stop();
      await deadLetters.stop();
      await housekeeping.stop();
      await queue.stop(DRAIN_MS, () => stopping.abort());
      await pool.end();
    },
  };
}
