import type pg from 'pg';
import type { JobSettings } from '../job-settings.ts';
import type { Logger } from '../log.ts';
import { startBoss, withBoss } from './boss.ts';
import type { DeadLetter, Handler, JobMessage, LaterChanges, Purge, PurgeMessage, Submission } from './messages.ts';
import {
  DEAD,
  DEAD_QUEUE,
  groupOf,
  JOB_QUEUE,
  LATER,
  PURGE,
  PURGE_QUEUE,
  queueName,
  queueOf,
} from './queue-settings.ts';
import { createSlots } from './slots.ts';
import { takeTurns } from './turns.ts';

export type JobQueue = Awaited<ReturnType<typeof openQueue>>;

/** What interrupted handlers get for handing their jobs back. */
const SETTLE_MS = 3000;

/** Not the letters of purges, which have no row elsewhere: they stay until they are redriven. findJobs() would read those, too. */
const DEAD_JOBS = `
  select id, data as message from pgboss.job
  where name = '${DEAD}' and state in ('created', 'retry') and data ? 'job_id' order by created_on`;

const through = (client: pg.ClientBase) => ({
  executeSql: (text: string, values?: unknown[]) => client.query(text, values),
});

export interface QueueOptions {
  connectionString: string;
  /** The job types this worker runs, and how. */
  types: ReadonlyMap<string, JobSettings>;
  /** How many jobs of a type run here at once, where the type does not say less. */
  slots: number;
  /** How many jobs of a type one tenant of each tier may run at once, over all workers. */
  tierLimits: Record<string, number>;
  log: Logger;
}

/** Connects and makes the queues. What is said here is of messages; how they are kept and taken is pg-boss's (boss.ts). */
export async function openQueue({ connectionString, types, slots, tierLimits, log }: QueueOptions) {
  const known = new Set<string>();
  const boss = await startBoss(connectionString, log);
  const slotsOf = createSlots(boss, tierLimits);

  await ensureQueue(DEAD, DEAD_QUEUE);
  await ensureQueue(PURGE, PURGE_QUEUE);
  await ensureQueue(LATER, JOB_QUEUE);
  for (const [type, settings] of types) await ensureQueue(queueName(type), queueOf(settings));

  async function ensureQueue(name: string, settings: object, update = true): Promise<void> {
    if (known.has(name)) return;
    await boss.createQueue(name, settings);
    // createQueue leaves an existing queue as it is: settings of an older release would stay. Those of a type that others run are theirs.
    if (update) await boss.updateQueue(name, settings);
    known.add(name);
  }

  return {
    /**
     * Inserts messages through `client`, inside its transaction: they exist when it commits, and wake the workers. One whose id is in the
     * queue already is left as it is.
     * Those of a type that only other workers run wait in its queue.
     */
    async submit(client: pg.ClientBase, type: string, submissions: Submission[]): Promise<void> {
      await ensureQueue(queueName(type), JOB_QUEUE, false);
      const asking = submissions.map(({ message: { tenant_id }, tier }) => ({ tenant_id, tier }));
      const priorities = await takeTurns(client, queueName(type), asking, (tier) => tierLimits[tier ?? ''] ?? 1);
      const jobs = submissions.map(({ id, message, tier }, nth) => ({
        id,
        data: message,
        priority: priorities[nth] ?? 0,
        ...groupOf(message.tenant_id, tier),
      }));
      await boss.insert(queueName(type), jobs, { db: through(client) });
    },

    /** As submit(), of any types, for later (later.ts). */
    async submitLater(client: pg.ClientBase, changes: LaterChanges): Promise<void> {
      await client.query(`delete from pgboss.job where name = '${LATER}' and id = any ($1)`, [[...changes.keys()]]);
      const jobs = [...changes].flatMap(([laterId, submission]) => {
        if (!submission) return [];
        const { id, message, tier, startAfter } = submission;
        return [{ id: laterId, data: { id, message }, startAfter, ...groupOf(message.tenant_id, tier) }];
      });
      await boss.insert(LATER, jobs, { db: through(client) });
    },

    async purge(client: pg.ClientBase, purges: Purge[]): Promise<void> {
      const jobs = purges.map(({ id, message }) => ({ id, data: message, ...groupOf(message.tenant_id, undefined) }));
      await boss.insert(PURGE, jobs, { db: through(client) });
    },

    workJobs: (type: string, handle: Handler<JobMessage>) =>
      slotsOf.work(queueName(type), Math.min(types.get(type)?.concurrency ?? slots, slots), handle),
    /** Takes no more jobs of a type; those that run go on. */
    pauseJobs: (type: string) => slotsOf.pause(queueName(type)),
    workPurges: (handle: Handler<PurgeMessage>) => slotsOf.work(PURGE, 1, handle),

    /** Jobs that used up their attempts, for whoever writes it into app.jobs. */
    async deadLetters(): Promise<DeadLetter[]> {
      const { rows } = await boss.getDb().executeSql(DEAD_JOBS);
      return rows as DeadLetter[];
    },

    /** The end of a dead letter is known in app.jobs, which alone says from then on what is dead. */
    async removeDead({ id }: DeadLetter): Promise<void> {
      await boss.deleteJob(DEAD, id);
    },

    /** Stops fetching; after `drainMs` calls `interrupt`, which makes handlers settle soon; then closes. */
    async stop(drainMs: number, interrupt: () => void): Promise<void> {
      slotsOf.close();
      const timer = setTimeout(interrupt, drainMs);
      await boss.stop({ graceful: true, timeout: drainMs + SETTLE_MS });
      clearTimeout(timer);
    },
  };
}

/** Puts the dead letter of a purge back into its queue. Returns whether it was still there. */
export function redrivePurge(connectionString: string, id: string): Promise<boolean> {
  return withBoss(connectionString, async (boss) => (await boss.redrive(DEAD, { ids: [id] })) === 1);
}
