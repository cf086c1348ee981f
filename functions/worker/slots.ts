import type { JobInsert, JobResult, JobWithMetadata, PgBoss } from './boss.ts';
import type { Handler } from './messages.ts';
import { groupOf, HEARTBEAT, POLL } from './queue-settings.ts';

/**
 * Takes messages out of queues, and settles each as its handler says.
 * @param tierLimits how many jobs of a queue one tenant of each tier may run at once, over all workers
 */
export function createSlots(boss: PgBoss, tierLimits: Record<string, number>) {
  // One slot stays free for the others, whatever a plan allows.
  const tiersOf = (slotCount: number) =>
    Object.fromEntries(
      Object.entries(tierLimits).map(([tier, wanted]) => [tier, Math.max(1, Math.min(wanted, slotCount - 1))]),
    );

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
      const inGroup = job.groupId ? groupOf(job.groupId, job.groupTier) : {};
      const retryLimit = job.retryLimit - job.retryCount;
      const copy: JobInsert = { data, startAfter, retryLimit, priority: job.priority, ...inGroup };
      if (settled.affected === 1) await boss.insert(job.name, [copy], { db: transaction.db });
      await transaction.commit();
    } catch (error) {
      await transaction.rollback();
      throw error;
    }
  }

  /** Jobs that run here, by queue: those of before a pause go on, and keep their slots. */
  const running = new Map<string, number>();
  /** Starts another slot of a queue that is worked on, unless it has all of them. */
  const starting = new Map<string, () => Promise<void>>();

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
    let slots = 0;
    async function startSlot(): Promise<void> {
      if (slots === slotCount) return;
      slots += 1;
      let workerId = '';
      workerId = await boss.work<T, JobResult[], typeof options>(name, options, async (jobs) => {
        running.set(name, (running.get(name) ?? 0) + 1);
        try {
          return await Promise.all(jobs.map((job) => settle(job, handle)));
        } finally {
          running.set(name, (running.get(name) ?? 0) - 1);
          boss.notifyWorker(workerId);
          const next = starting.get(name);
          if (next !== startSlot) await next?.();
        }
      });
    }
    starting.set(name, startSlot);
    for (let slot = running.get(name) ?? 0; slot < slotCount; slot += 1) await startSlot();
  }

  return {
    /** Works on a queue, so many jobs at a time: fewer at first where some of before a pause still run. */
    work,
    /** Takes no more of a queue; what runs goes on. */
    async pause(name: string): Promise<void> {
      starting.delete(name);
      await boss.offWork(name, { wait: false });
    },
    /** Starts no slot any more. */
    close: () => starting.clear(),
  };
}
