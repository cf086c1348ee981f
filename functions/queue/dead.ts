import type { ClientBase } from 'pg';

/** Which dead letters are meant: all of those that every given condition fits. */
export interface DeadFilter {
  ids?: string[] | undefined;
  type?: string | undefined;
  tenant?: string | undefined;
}

export interface DeadLetterRow {
  /** Of the job, or of a purge's letter in the queue. */
  id: string;
  tenant_id: string;
  type: string;
  /** Null: the bytes of a deleted file could not be removed. */
  job_id: string | null;
  /** Of the last attempt's error; null: it died without a word. */
  code: string | null;
  died_at: Date;
  traceparent: string | null;
  /** It stays until its tenant is resumed. */
  suspended: boolean;
}

const JOBS = `
  select job_id as id, tenant_id, type, job_id, code, died_at, traceparent, suspended
  from ledger.dead_letters($1, $2, $3, $4)`;

/** They have no row but the queue's own: their file is gone. */
const PURGES = `
  select id, group_id as tenant_id, source_name as type, null as job_id, coalesce(output, source_output) ->> 'code' as code,
    created_on as died_at, null as traceparent, false as suspended
  from pgboss.job
  where name = 'job.dead' and source_name = 'storage.purge' and state in ('created', 'retry')
    and ($1::text is null or source_name = $1) and ($2::text is null or group_id = $2) and ($3::uuid[] is null or id = any ($3))
  order by created_on, id
  limit $4`;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Oldest first. */
export async function listDead(
  database: ClientBase,
  filter: DeadFilter,
  limit: number | null,
): Promise<DeadLetterRow[]> {
  const ids = filter.ids?.filter((id) => UUID.test(id)) ?? null;
  const values = [filter.type ?? null, filter.tenant ?? null, ids, limit];
  const { rows: jobs } = await database.query<DeadLetterRow>(JOBS, values);
  const { rows: purges } = await database.query<DeadLetterRow>(PURGES, values);
  return [...jobs, ...purges]
    .toSorted((a, b) => a.died_at.getTime() - b.died_at.getTime())
    .slice(0, limit ?? undefined);
}
