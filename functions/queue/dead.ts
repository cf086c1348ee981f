import type { ClientBase, Pool } from 'pg';

/** Which dead letters are meant: all of those that every given condition fits. */
export interface DeadFilter {
  /** Of jobs, or of the letters themselves. */
  ids?: string[] | undefined;
  type?: string | undefined;
  tenant?: string | undefined;
}

export interface DeadLetterRow {
  id: string;
  tenant_id: string;
  type: string;
  /** Null: the bytes of a deleted file could not be removed. */
  job_id: string | null;
  submission: string | null;
  code: string | null;
  died_at: Date;
  traceparent: string | null;
}

const DEAD = `
  select id, group_id as tenant_id, coalesce(data ->> 'type', source_name) as type, data ->> 'job_id' as job_id,
    data ->> 'submission' as submission, coalesce(output, source_output) ->> 'code' as code, created_on as died_at,
    data ->> 'traceparent' as traceparent
  from pgboss.job
  where name = 'job.dead' and state in ('created', 'retry')
    and ($1::text[] is null or id::text = any ($1) or data ->> 'job_id' = any ($1))
    and ($2::text is null or coalesce(data ->> 'type', source_name) = $2)
    and ($3::text is null or group_id = $3)
  order by created_on, id
  limit $4`;

/** Oldest first. */
export async function listDead(
  database: ClientBase | Pool,
  filter: DeadFilter,
  limit: number | null,
): Promise<DeadLetterRow[]> {
  const values = [filter.ids ?? null, filter.type ?? null, filter.tenant ?? null, limit];
  return (await database.query<DeadLetterRow>(DEAD, values)).rows;
}

/** Takes a letter out: it has been redriven, or is outdated. In the caller's transaction. */
export async function removeDead(client: ClientBase, id: string): Promise<void> {
  await client.query(`delete from pgboss.job where name = 'job.dead' and id = $1`, [id]);
}
