import type { ClientBase } from 'pg';

/**
 * Whose turn it is: start-time fair queueing (Goyal, Vin, Cheng 1996) over the waiting jobs of a type. pg-boss's groups cap what a tenant
 * has running, and hand out what waits by age: two tenants with a backlog would keep all slots, and every other one waiting behind it.
 * So each job gets a turn, as its priority: the next one of its tenant, but none that has passed already. A tenant that has nothing
 * waiting is served next, whatever others have queued; one with more weight has its turns closer together.
 */

/** In pg-boss's table: the last turn of a tenant, and who is next, without reading what waits. */
export const TURN_INDEX = `create index if not exists job_turns on pgboss.job_common (name, group_id, priority)
  where state < 'active' and not blocked`;

/** Turns of a tenant of weight 1 are so far apart. */
const STRIDE = 8;
/** Priorities are integers. A queue that never once ran empty in hundreds of millions of jobs has its last ones tied. */
const LAST_TURN = 2_147_483_647;

const TURNS = `
  with waiting as not materialized (
    select name, group_id, priority from pgboss.job where state < 'active' and not blocked and start_after <= now()
  )
  select tenant_id,
    (select -priority from waiting where name = $1 order by priority desc limit 1) as now,
    (select -priority from waiting where name = $1 and group_id = tenant_id order by priority limit 1) as last
  from unnest($2::text[]) as tenant_id`;

/**
 * The priorities of jobs that join a queue, in their order.
 * @param client of the transaction that inserts them
 * @param weightOf the share of a tenant of this tier, from 1 on
 */
export async function takeTurns(
  client: ClientBase,
  queue: string,
  jobs: readonly { tenant_id: string; tier: string | null }[],
  weightOf: (tier: string | null) => number,
): Promise<number[]> {
  const tenants = [...new Set(jobs.map(({ tenant_id }) => tenant_id))];
  const { rows } = await client.query<{ tenant_id: string; now: number | null; last: number | null }>(TURNS, [
    queue,
    tenants,
  ]);
  const taken = new Map(rows.map(({ tenant_id, now, last }) => [tenant_id, { now: now ?? 0, last }]));
  return jobs.map(({ tenant_id, tier }) => {
    const turns = taken.get(tenant_id) ?? { now: 0, last: null };
    const stride = Math.max(1, Math.floor(STRIDE / weightOf(tier)));
    turns.last = Math.min(LAST_TURN, turns.last === null ? turns.now : Math.max(turns.now, turns.last + stride));
    taken.set(tenant_id, turns);
    return -turns.last;
  });
}
