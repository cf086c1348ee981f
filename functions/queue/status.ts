import type { Client } from 'pg';
import { workersOf } from './presence.ts';

/** Reads pg-boss's tables, whose owner the worker's login is; functions/worker/queue.ts is what writes them. What has died, app.jobs says. */

export interface QueueStatus {
  /** The type of job, or `storage.purge`. */
  type: string;
  /** How many run it. Where there is none, what waits does so until there is. */
  workers: number;
  waiting: number;
  /** Waits for its time to start, for the next attempt, or for a tenant to be resumed. */
  delayed: number;
  active: number;
  /** Dead letters: of jobs, those that nobody has retried. */
  dead: number;
  /** Of what waits. */
  oldest_seconds: number | null;
  paused_at: Date | null;
  /** Who has the most waiting. */
  tenants: { tenant_id: string; waiting: number }[];
}

const TENANTS = 3;

const STATUS = `
  with message as (
    select case when name = 'jobs.later' then data -> 'message' ->> 'type' else regexp_replace(name, '^job\\.', '') end as type, state,
      start_after > now() as delayed, case when name = 'jobs.later' then start_after else created_on end as since, group_id
    from pgboss.job
    where (name like 'job.%' or name in ('jobs.later', 'storage.purge')) and name <> 'job.dead' and state in ('created', 'retry', 'active')
  ), letter as (
    select type from ledger.dead_letters() union all
    select source_name from pgboss.job where name = 'job.dead' and source_name = 'storage.purge' and state in ('created', 'retry')
  ), of_tenant as (
    select type, group_id, count(*)::int as waiting, row_number() over (partition by type order by count(*) desc, group_id) as nth
    from message where state <> 'active' and not delayed group by type, group_id
  ), known as (
    select type from tenancy.job_types union select type from message union select type from letter
  )
  select known.type,
    ${workersOf('known.type')} as workers,
    count(*) filter (where state <> 'active' and not delayed)::int as waiting,
    count(*) filter (where state <> 'active' and delayed)::int as delayed,
    count(*) filter (where state = 'active')::int as active,
    (select count(*)::int from letter where letter.type = known.type) as dead,
    extract(epoch from now() - min(since) filter (where state <> 'active' and not delayed))::float8 as oldest_seconds,
    (select paused_at from tenancy.job_types as t where t.type = known.type) as paused_at,
    coalesce((select json_agg(json_build_object('tenant_id', group_id, 'waiting', waiting) order by nth)
      from of_tenant where of_tenant.type = known.type and nth <= ${TENANTS}), '[]') as tenants
  from known left join message on message.type = known.type
  group by known.type order by known.type`;

/** What waits, runs and has died, by type; every type that a worker has registered is there. */
export async function readStatus(client: Client): Promise<QueueStatus[]> {
  return (await client.query<QueueStatus>(STATUS)).rows;
}
