import type pg from 'pg';
import { type JobInsert, type JobResult, type JobWithMetadata, PgBoss } from 'pg-boss';
import type { JobSettings } from '../job-settings.ts';
import type { Logger } from '../log.ts';
import type { DeadLetter, Handler, JobMessage, Purge, PurgeMessage, Submission } from './messages.ts';
import { TURN_INDEX, takeTurns } from './turns.ts';

/** The only module that knows pg-boss. */

export type JobQueue = Awaited<ReturnType<typeof openQueue>>;

export const DEAD = 'job.dead';
const PURGE = 'storage.purge';
const queueName = (type: string) => `job.${type}`;

/** What a message that waits may not outlive: pg-boss deletes older ones, which would lose a job. */
const KEEP_WAITING = 10 * 365 * 86_400;
/** A dead worker's job is retried after at most HEARTBEAT + MONITOR + the first backoff (2 s) + POLL seconds. */
const HEARTBEAT = 10; // the smallest that pg-boss takes
const MONITOR = 2;
const POLL = 1;
/** What interrupted handlers get for handing their jobs back. */
const SETTLE_MS = 3000;

const SETTLED = { retentionSeconds: KEEP_WAITING, deleteAfterSeconds: 6 * 3600, notify: true };
const JOB_QUEUE = {
  ...SETTLED,
  // Not how often a job is tried, which is app.jobs.max_attempts: a delivery can be lost before its job has begun.
  retryLimit: 20,
  retryDelay: 1,
  retryBackoff: true,
  retryDelayMax: 5,
  expireInSeconds: 3600,
  heartbeatSeconds: HEARTBEAT,
  deadLetter: DEAD,
};
const PURGE_QUEUE = { ...JOB_QUEUE, retryLimit: 12, retryDelayMax: 3600, expireInSeconds: 600 };

/** What a type declares, as pg-boss wants it: the deliveries of its jobs are spaced and end as its attempts do. */
const queueOf = ({ maxAttempts, backoffSeconds, maxBackoffSeconds, timeoutSeconds }: JobSettings) => ({
  ...JOB_QUEUE,
  retryLimit: Math.max(JOB_QUEUE.retryLimit, 2 * maxAttempts),
  retryDelay: backoffSeconds,
  retryDelayMax: maxBackoffSeconds,
  // The runner ends an attempt at its timeout; this is for one whose worker lives on without doing so.
  expireInSeconds: timeoutSeconds + 60,
});
const DEAD_QUEUE = { retentionSeconds: KEEP_WAITING, deleteAfterSeconds: 0 };

const group = (id: string, tier: string | null | undefined) => ({ group: { id, ...(tier ? { tier } : {}) } });

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

/** Connects, brings the schema `pgboss` up to date and makes the queues. */
export async function openQueue({ connectionString, types, slots, tierLimits, log }: QueueOptions) {
  const known = new Set<string>();
  // One slot stays free for the others, whatever a plan allows.
  const tiersOf = (slotCount: number) =>
    Object.fromEntries(
      Object.entries(tierLimits).map(([tier, wanted]) => [tier, Math.max(1, Math.min(wanted, slotCount - 1))]),
    );
  const boss = new PgBoss({
    connectionString,
    application_name: 'rowhouse-worker-queue',
    max: 4,
    schema: 'pgboss',
    createSchema: false, // it exists; CREATE SCHEMA IF NOT EXISTS would need CREATE on the database
    schedule: false,
    useListenNotify: true,
    superviseIntervalSeconds: MONITOR,
    monitorIntervalSeconds: MONITOR,
    maintenanceIntervalSeconds: 600,
  });
  boss.on('error', (error) => log.warn({ error: error.message }, 'queue error'));
  boss.on('warning', (warning) => log.warn({ type: (warning.data as { type?: string }).type }, warning.message));
  await boss.start();
  await boss
    .getDb()
    .executeSql(TURN_INDEX)
    .catch((error: { code?: string }) => {
      // Two workers that start at once: one makes it.
      if (error.code !== '23505' && error.code !== '42P07') throw error;
    });

  await ensureQueue(DEAD, DEAD_QUEUE);
  await ensureQueue(PURGE, PURGE_QUEUE);
  for (const [type, settings] of types) await ensureQueue(queueName(type), queueOf(settings));

  async function ensureQueue(name: string, settings: object, update = true): Promise<void> {
    if (known.has(name)) return;
    await boss.createQueue(name, settings);
    // createQueue leaves an existing queue as it is: settings of an older release would stay. Those of a type that others run are theirs.
    if (update) await boss.updateQueue(name, settings);
    known.add(name);
  }

  /** One pg-boss worker per slot, so that each can be told to fetch again as soon as it is free. */
  async function work<T extends object>(name: string, slotCount: number, handle: Handler<T>): Promise<void> {
    const options = {
      includeMetadata: true,
      perJobResults: true,
      pollingIntervalSeconds: POLL,
      notifyPollingIntervalSeconds: POLL, // a retry sends no NOTIFY
      heartbeatRefreshSeconds: HEARTBEAT / 4,
      groupConcurrency: { default: 1, tiers: tiersOf(slotCount) },
    } as const;
    for (let slot = 0; slot < slotCount; slot += 1) {
      let workerId = '';
      workerId = await boss.work<T, JobResult[], typeof options>(name, options, async (jobs) => {
        try {
          return await Promise.all(jobs.map((job) => settle(job, handle)));
        } finally {
          boss.notifyWorker(workerId);
        }
      });
    }
  }

  async function settle<T extends object>(job: JobWithMetadata<T>, handle: Handler<T>): Promise<JobResult> {
    const outcome = await handle({
      message: job.data,
      signal: job.signal,
      postpone: (seconds, message) => postpone(job, message, seconds),
    });
    const status = { done: 'completed', retry: 'failed', dead: 'deadletter' } as const;
    return {
      id: job.id,
      status: status[outcome.settle],
      ...('code' in outcome ? { output: { code: outcome.code } } : {}),
    };
  }

  /** The copy and the completion commit together: the message is never lost and never delivered twice. */
  async function postpone(job: JobWithMetadata<object>, data: object, startAfter: number): Promise<void> {
    const db = boss.getDb();
    if (!db.beginTransaction) throw new Error('pg-boss has no transactions of its own');
    const transaction = await db.beginTransaction();
    try {
      const settled = (await boss.complete(job.name, job, null, { db: transaction.db })) as { affected: number };
      const inGroup = job.groupId ? group(job.groupId, job.groupTier) : {};
      const retryLimit = job.retryLimit - job.retryCount;
      const copy: JobInsert = { data, startAfter, retryLimit, priority: job.priority, ...inGroup };
      if (settled.affected === 1) await boss.insert(job.name, [copy], { db: transaction.db });
      await transaction.commit();
    } catch (error) {
      await transaction.rollback();
      throw error;
    }
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
        ...group(message.tenant_id, tier),
      }));
      await boss.insert(queueName(type), jobs, { db: through(client) });
    },

    async purge(client: pg.ClientBase, purges: Purge[]): Promise<void> {
      const jobs = purges.map(({ id, message }) => ({ id, data: message, ...group(message.tenant_id, undefined) }));
      await boss.insert(PURGE, jobs, { db: through(client) });
    },

    workJobs: (type: string, handle: Handler<JobMessage>) =>
      work(queueName(type), Math.min(types.get(type)?.concurrency ?? slots, slots), handle),
    /** Takes no more jobs of a type; those that run go on. */
    pauseJobs: (type: string) => boss.offWork(queueName(type), { wait: false }),
    workPurges: (handle: Handler<PurgeMessage>) => work(PURGE, 1, handle),

    /** Jobs that used up their attempts and whose end is not yet known in app.jobs. */
    async deadLetters(): Promise<DeadLetter[]> {
      const found = await boss.findJobs<JobMessage>(DEAD, { data: { recorded: false }, queued: true });
      return found.map(({ id, data }) => ({ id, message: data }));
    },

    /** Notes that the end of a dead letter is known; the letter stays for people to look at. */
    async markRecorded({ id, message }: DeadLetter): Promise<void> {
      await boss.update(DEAD, { ...message, recorded: true }, { id });
    },

    /** Stops fetching; after `drainMs` calls `interrupt`, which makes handlers settle soon; then closes. */
    async stop(drainMs: number, interrupt: () => void): Promise<void> {
      const timer = setTimeout(interrupt, drainMs);
      await boss.stop({ graceful: true, timeout: drainMs + SETTLE_MS });
      clearTimeout(timer);
    },
  };
}

/** Puts the dead letter of a purge back into its queue. Returns whether it was still there. */
export async function redrivePurge(connectionString: string, id: string): Promise<boolean> {
  const boss = new PgBoss({
    connectionString,
    schema: 'pgboss',
    createSchema: false,
    migrate: false,
    supervise: false,
  });
  boss.on('error', () => {}); // Calls reject with it.
  await boss.start();
  try {
    return (await boss.redrive(DEAD, { ids: [id] })) === 1;
  } finally {
    await boss.stop({ graceful: false });
  }
}
