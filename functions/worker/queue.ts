import type pg from 'pg';
import { type JobInsert, type JobResult, type JobWithMetadata, PgBoss } from 'pg-boss';
import type { Logger } from '../log.ts';
import type { DeadLetter, Handler, JobMessage, PurgeMessage, Submission } from './messages.ts';

/** The only module that knows pg-boss. */

export type JobQueue = Awaited<ReturnType<typeof openQueue>>;

const DEAD = 'job.dead';
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
const DEAD_QUEUE = { retentionSeconds: KEEP_WAITING, deleteAfterSeconds: 0 };

const group = (id: string, tier: string | null | undefined) => ({ group: { id, ...(tier ? { tier } : {}) } });

const through = (client: pg.ClientBase) => ({
  executeSql: (text: string, values?: unknown[]) => client.query(text, values),
});

export interface QueueOptions {
  connectionString: string;
  /** The job types this worker runs. */
  types: string[];
  /** How many jobs of a type run here at once. */
  slots: number;
  /** How many jobs of a type one tenant of each tier may run at once, over all workers. */
  tierLimits: Record<string, number>;
  log: Logger;
}

/** Connects, brings the schema `pgboss` up to date and makes the queues. */
export async function openQueue({ connectionString, types, slots, tierLimits, log }: QueueOptions) {
  const known = new Set<string>();
  // One slot stays free for the others, whatever a plan allows.
  const limit = (wanted: number) => Math.max(1, Math.min(wanted, slots - 1));
  const tiers = Object.fromEntries(Object.entries(tierLimits).map(([tier, wanted]) => [tier, limit(wanted)]));
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

  await ensureQueue(DEAD, DEAD_QUEUE);
  await ensureQueue(PURGE, PURGE_QUEUE);
  for (const type of types) await ensureQueue(queueName(type), JOB_QUEUE);

  async function ensureQueue(name: string, settings: object): Promise<void> {
    if (known.has(name)) return;
    await boss.createQueue(name, settings);
    // createQueue leaves an existing queue as it is: settings of an older release would stay.
    await boss.updateQueue(name, settings);
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
      groupConcurrency: { default: 1, tiers },
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
      const copy: JobInsert = { data, startAfter, retryLimit, ...inGroup };
      if (settled.affected === 1) await boss.insert(job.name, [copy], { db: transaction.db });
      await transaction.commit();
    } catch (error) {
      await transaction.rollback();
      throw error;
    }
  }

  return {
    /**
     * Inserts messages through `client`, inside its transaction: they exist when it commits, and wake the workers.
     * Those of a type that only other workers run wait in its queue.
     */
    async submit(client: pg.ClientBase, type: string, submissions: Submission[]): Promise<void> {
      await ensureQueue(queueName(type), JOB_QUEUE);
      const jobs = submissions.map(({ message, tier }) => ({ data: message, ...group(message.tenant_id, tier) }));
      await boss.insert(queueName(type), jobs, { db: through(client) });
    },

    async purge(client: pg.ClientBase, messages: PurgeMessage[]): Promise<void> {
      const jobs = messages.map((message) => ({ data: message, ...group(message.tenant_id, undefined) }));
      await boss.insert(PURGE, jobs, { db: through(client) });
    },

    workJobs: (type: string, handle: Handler<JobMessage>) => work(queueName(type), slots, handle),
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
