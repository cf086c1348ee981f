import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { dueTime, nextRun, type Schedule } from './cron.ts';
import { endsLease } from './lease.ts';
import { openSession } from './session.ts';

interface DueSchedule extends Schedule {
  tenant_id: string;
  /** As PostgreSQL writes it: the row is compared with it again, in all its digits. */
  expected: string | null;
  next_run_at: Date | null;
  clock: Date;
}

/** Between looks, give or take: workers that started together do not look together. */
const LOOK_MS = 1000;
const MAX_SCHEDULES = 200;
const AT_ONCE = 2;

/** Submits the jobs of schedules that are due, of every tenant. Any number of workers do it: the row's lock and value decide. */
export function startScheduler({ pool, log: parent }: { pool: Pool; log: Logger }) {
  const stopping = new AbortController();

  async function run(schedule: DueSchedule): Promise<void> {
    const { tenant_id, schedule_id, expected, next_run_at, clock } = schedule;
    const trace = randomUUID().replaceAll('-', '');
    const log = parent.child({ tenant_id, schedule_id, trace_id: trace });
    const session = openSession(pool, tenant_id, `schedule:${schedule_id}`, `00-${trace}-${trace.slice(16)}-00`);
    const fail = (next: Date | null, code: string, message: string) =>
      session((client) =>
        client.query('select app.fail_schedule($1, $2, $3, $4)', [
          schedule_id,
          expected,
          next,
          JSON.stringify({ code, message }),
        ]),
      );

    let next: Date;
    let due: Date | null;
    try {
      next = nextRun(schedule, clock);
      due = next_run_at && dueTime(schedule, next_run_at, clock);
    } catch (error) {
      log.error({ err: error, cron: schedule.cron, time_zone: schedule.time_zone }, 'schedule disabled');
      await fail(null, 'job_schedule_invalid', 'No next time can be computed for this expression in this zone');
      return;
    }
    try {
      const job_id = await session(async (client) => {
        const { rows } = await client.query<{ job_id: string | null }>(
          'select app.run_schedule($1, $2, $3, $4) as job_id',
          [schedule_id, expected, due, next],
        );
        return rows[0]?.job_id ?? undefined;
      });
      if (job_id) log.info({ job_id, due_at: due, next_run_at: next }, 'schedule ran');
    } catch (error) {
      if (endsLease(error) || (error instanceof RowhouseError && error.code === 'database_unavailable')) throw error;
      // Whatever it is: it must not stay the first that is due, and keep the others from running.
      const { code, message } =
        error instanceof RowhouseError ? error : { code: 'internal', message: 'The job could not be submitted' };
      await fail(next, code, message);
      log.warn({ err: error }, 'schedule submitted nothing');
    }
  }

  async function look(): Promise<number> {
    const { rows } = await pool.query<DueSchedule>(
      `select tenant_id, schedule_id, cron, time_zone, jitter_seconds, next_run_at::text as expected, next_run_at, clock
       from ledger.due_schedules($1)`,
      [MAX_SCHEDULES],
    );
    const waiting = rows.values();
    const take = async () => {
      for (const schedule of waiting) {
        if (stopping.signal.aborted) return;
        await run(schedule).catch((error: Error) => {
          // Suspended or deleted meanwhile: it is not due any more.
          if (!endsLease(error)) parent.warn({ err: error, schedule_id: schedule.schedule_id }, 'schedule not run');
        });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, take));
    return rows.length;
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      const found = await look().catch((error: Error) => {
        parent.warn({ error: error.message }, 'schedules not read');
        return 0;
      });
      const pause = found === MAX_SCHEDULES ? 10 : LOOK_MS + randomInt(LOOK_MS / 2);
      await delay(pause, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }

  const running = loop();
  return {
    async stop(): Promise<void> {
      stopping.abort();
      await running;
    },
  };
}
