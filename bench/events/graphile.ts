import { Logger, makeWorkerUtils, runMigrations, type WorkerUtils } from 'graphile-worker';
import { createPool, type Pool } from '../../functions/database.ts';

export const TASK = 'naive';
/** Of one call of addJobs. */
const BATCH = 1000;
const silent = new Logger(() => () => {});

/** graphile-worker's queue in the same database, by its own means; one connection. */
export interface Graphile {
  addJob(payload: object): Promise<unknown>;
  addJobs(payloads: readonly object[]): Promise<void>;
  /** Whether any job is left. */
  isEmpty(): Promise<boolean>;
  empty(): Promise<void>;
  close(): Promise<void>;
}

/** Installs it where it is not there yet. @param connectionString of the superuser: it makes a schema, and tables with RLS for nobody */
export async function openGraphile(connectionString: string): Promise<Graphile> {
  await runMigrations({ connectionString, logger: silent });
  const pgPool: Pool = createPool(connectionString, 'bench-graphile', 1);
  const utils: WorkerUtils = await makeWorkerUtils({ pgPool, logger: silent });
  return {
    addJob: (payload) => utils.addJob(TASK, payload),
    async addJobs(payloads) {
      for (let at = 0; at < payloads.length; at += BATCH) {
        await utils.addJobs(payloads.slice(at, at + BATCH).map((payload) => ({ identifier: TASK, payload })));
      }
    },
    async isEmpty() {
      const { rows } = await pgPool.query('select from graphile_worker._private_jobs limit 1');
      return rows.length === 0;
    },
    empty: async () => void (await pgPool.query('truncate graphile_worker._private_jobs')),
    async close() {
      await utils.release();
      await pgPool.end();
    },
  };
}
