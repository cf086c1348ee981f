import { setTimeout as delay } from 'node:timers/promises';
import { type Pool, transaction } from '../database.ts';
import type { Logger } from '../log.ts';
import type { JobMessage } from './messages.ts';
import type { JobQueue } from './queue.ts';
import { LATER } from './queue-settings.ts';

/**
 * Jobs that are not to start yet wait in a queue of their own, and join that of their type when it is time. A turn is worth something
 * among those that wait at the same moment (turns.ts): one that was taken weeks before would put a job before all others or behind them,
 * and whoever looks for the next turn, or for the next job, would read past all that is not due.
 */

const LOOK_MS = 1000;
/** What is due first, whoever it is of, as long as it is less than this; more is taken by tenants, as many of all, and so many of each. */
const MANY = 500;
const EACH = 50;

const OF_LATER = `name = '${LATER}' and state = 'created'`;

/** In pg-boss's table, for this queue alone. */
export const LATER_INDEXES = [
  `create index if not exists job_later on pgboss.job_common (start_after) where ${OF_LATER}`,
  `create index if not exists job_later_of_tenant on pgboss.job_common (group_id, start_after) where ${OF_LATER}`,
];

const TAKE = `
  with recursive due_first as materialized (
    select id from pgboss.job where ${OF_LATER} and start_after <= now() order by start_after limit ${MANY}
  ), many as materialized (
    select count(*) = ${MANY} as are_due from due_first
  ), tenant (id) as (
    (select group_id from pgboss.job where ${OF_LATER} and (select are_due from many) order by group_id limit 1)
    union all
    select (select group_id from pgboss.job where ${OF_LATER} and group_id > tenant.id order by group_id limit 1)
    from tenant where tenant.id is not null
  ), due as (
    select id from due_first where not (select are_due from many)
    union all (
      select of_tenant.id from tenant cross join lateral (
        -- Not group_id = tenant.id: the planner would take the index by time, and read all that others have due for each tenant.
        select id, row_number() over (order by group_id, start_after) as nth from pgboss.job
        where ${OF_LATER} and (group_id, start_after) >= (tenant.id, '-infinity'::timestamptz) and (group_id, start_after) <= (tenant.id, now())
        order by group_id, start_after limit ${EACH}) as of_tenant
      order by of_tenant.nth limit ${MANY})
  )
  delete from pgboss.job
  where name = '${LATER}' and id in (
    select id from pgboss.job where ${OF_LATER} and id in (select id from due) for update skip locked)
  returning data ->> 'id' as id, data -> 'message' as message, group_tier as tier, start_after`;

interface Due {
  id: string;
  message: JobMessage;
  tier: string | null;
  start_after: Date;
}

/** Moves what is due into the queues of its types, in any number of workers, until stopped. */
export function startLater({ pool, queue, log }: { pool: Pool; queue: Pick<JobQueue, 'submit'>; log: Logger }) {
  const stopping = new AbortController();

  const move = (): Promise<number> =>
    transaction(pool, async (client) => {
      const { rows } = await client.query<Due>(TAKE);
      const inOrder = rows.toSorted((a, b) => a.start_after.getTime() - b.start_after.getTime());
      for (const [type, due] of Map.groupBy(inOrder, ({ message }) => message.type)) {
        await queue.submit(client, type, due);
      }
      return rows.length;
    });

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const moved = await move().catch((error: Error) => {
        log.warn({ error: error.message }, 'delayed jobs not queued');
        return 0;
      });
      if (moved < EACH) await delay(LOOK_MS, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }

  const running = run();
  return {
    async stop(): Promise<void> {
      stopping.abort();
      await running;
    },
  };
}
