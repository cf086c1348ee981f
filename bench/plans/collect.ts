import type { Pool } from '../../functions/database.ts';
import type { OwnPostgrest } from '../wall/postgrest.ts';
import type { Recorded, Recorder } from './recorder.ts';
import { type ApiRequest, requestsOf, type Sample } from './requests.ts';

export interface Statement extends Recorded {
  name: string;
}

/** @throws Error where the tenant has no rows of one kind */
export async function sampleOf(admin: Pool, tenantId: string): Promise<Sample> {
  const { rows } = await admin.query<Sample>(
    `select file.id as "fileId", job.id as "jobId", to_json(file.created_at) #>> '{}' as "createdAt",
       member.user_id as "userId", key.id as "apiKeyId"
     from (select * from app.files where tenant_id = $1 order by created_at desc, id desc offset
             (select count(*) / 2 from app.files where tenant_id = $1) limit 1) as file,
       (select * from app.jobs where tenant_id = $1 order by id limit 1) as job,
       (select * from tenancy.members where tenant_id = $1 order by user_id limit 1) as member,
       (select * from auth.api_keys where tenant_id = $1 order by id limit 1) as key`,
    [tenantId],
  );
  const [sample] = rows;
  if (!sample) throw new Error(`${tenantId} has no files, jobs, members or API keys`);
  return sample;
}

/** Asks as the tenant, and gives back the statement that PostgREST made of each request. */
export async function collectStatements(
  postgrest: Pick<OwnPostgrest, 'origin'>,
  recorder: Recorder,
  token: string,
  sample: Sample,
): Promise<Statement[]> {
  const statements: Statement[] = [];
  for (const request of requestsOf(sample)) {
    recorder.take();
    await ask(postgrest.origin, token, request);
    // The gate's and the settings' are the same for all.
    const recorded = recorder.take().find(({ text }) => text.startsWith('WITH pgrst_source'));
    if (!recorded) throw new Error(`${request.name}: PostgREST ran no statement`);
    statements.push({ name: request.name, ...recorded });
  }
  return statements;
}

async function ask(origin: string, token: string, { name, path, method, headers, body }: ApiRequest) {
  const init: RequestInit = { headers: { authorization: `Bearer ${token}`, ...headers } };
  if (method) init.method = method;
  if (body) init.body = body;
  const answer = await fetch(`${origin}${path}`, init);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${name} answered ${answer.status}: ${text}`);
}
