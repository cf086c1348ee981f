import { PgBoss } from 'pg-boss';
import type { Logger } from '../log.ts';
import { LATER_INDEXES } from './later.ts';
import { MONITOR } from './queue-settings.ts';
import { TURN_INDEX } from './turns.ts';

/** The only module that imports pg-boss. */

export type { JobInsert, JobResult, JobWithMetadata, PgBoss } from 'pg-boss';

const SCHEMA = {
  schema: 'pgboss',
  createSchema: false, // it exists; CREATE SCHEMA IF NOT EXISTS would need CREATE on the database
};

/** Connects as a worker does, and brings the schema `pgboss` up to date. */
export async function startBoss(connectionString: string, log: Logger): Promise<PgBoss> {
  const boss = new PgBoss({
    ...SCHEMA,
    connectionString,
    application_name: 'rowhouse-worker-queue',
    max: 4,
    schedule: false,
    useListenNotify: true,
    superviseIntervalSeconds: MONITOR,
    monitorIntervalSeconds: MONITOR,
    maintenanceIntervalSeconds: 600,
  });
  boss.on('error', (error) => log.warn({ error: error.message }, 'queue error'));
  boss.on('warning', (warning) => log.warn({ type: (warning.data as { type?: string }).type }, warning.message));
  await boss.start();
  for (const index of [TURN_INDEX, ...LATER_INDEXES]) {
    await boss
      .getDb()
      .executeSql(index)
      .catch((error: { code?: string }) => {
        // Two workers that start at once: one makes it.
        if (error.code !== '23505' && error.code !== '42P07') throw error;
      });
  }
  return boss;
}

/** Runs `work` beside the workers, whose queues are left as they are. */
export async function withBoss<T>(connectionString: string, work: (boss: PgBoss) => Promise<T>): Promise<T> {
  const boss = new PgBoss({ ...SCHEMA, connectionString, migrate: false, supervise: false });
  boss.on('error', () => {}); // Calls reject with it.
  await boss.start();
  try {
    return await work(boss);
  } finally {
    await boss.stop({ graceful: false });
  }
}
