/** Keys of one tenant's own rows, to ask for. */
export interface Sample {
  fileId: string;
  jobId: string;
  /** A time within the tenant's rows, as PostgREST writes it. */
  createdAt: string;
  userId: string;
  apiKeyId: string;
}

export interface ApiRequest {
  /** The relation or function and the shape: what the report and the test call it. */
  name: string;
  method?: 'PATCH' | 'DELETE';
  path: string;
  /** Default GET with none. */
  headers?: Record<string, string>;
  body?: string;
}

const COUNT = { prefer: 'count=exact' };
const NEWEST = 'order=created_at.desc,id.desc&limit=20';
const NOBODY = '00000000-0000-7000-8000-000000000000';

/** The next page, as docs/tenancy.md says. */
const pageAfter = (at: string, id: string) =>
  `created_at=lte.${at}&or=(created_at.lt.${at},and(created_at.eq.${at},id.lt.${id}))&${NEWEST}`;

/**
 * Every statement of the API that reads rows of a tenant, or finds them to change them. A relation or function that is added to v1 and not
 * here fails test/schema/plan-shapes.test.ts.
 */
export function requestsOf({ fileId, jobId, createdAt, userId, apiKeyId }: Sample): ApiRequest[] {
  const at = encodeURIComponent(createdAt);
  const json = (body: object) => ({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return [
    { name: 'files: newest', path: `/files?${NEWEST}` },
    { name: 'files: next page', path: `/files?${pageAfter(at, fileId)}` },
    { name: 'files: unordered', path: '/files?limit=20' },
    { name: 'files: by key', path: `/files?id=eq.${fileId}` },
    { name: 'files: several by key', path: `/files?id=in.(${fileId},${NOBODY})` },
    { name: 'files: filter, newest', path: `/files?status=eq.stored&${NEWEST}` },
    { name: 'files: rare filter, newest', path: `/files?kind=eq.report&${NEWEST}` },
    { name: 'files: of a job', path: `/files?job_id=eq.${jobId}` },
    { name: 'files: name like', path: `/files?name=ilike.*17*&${NEWEST}` },
    { name: 'files: count', path: '/files?limit=1', headers: COUNT },
    { name: 'files: filter, count', path: `/files?status=eq.stored&${NEWEST}`, headers: COUNT },
    { name: 'files: newest, with jobs', path: `/files?select=id,name,jobs(id,status)&${NEWEST}` },
    { name: 'files: far page', path: `/files?${NEWEST}&offset=1000` },
    { name: 'files: by name', path: '/files?order=name,id&limit=20' },
    { name: 'files: either', path: `/files?or=(id.eq.${fileId},job_id.eq.${jobId})` },
    { name: 'files: of a job, newest', path: `/files?job_id=eq.${jobId}&${NEWEST}` },
    { name: 'files: unordered, with jobs', path: '/files?select=id,name,jobs(id,status)&limit=20' },
    {
      name: 'files: of rare jobs, newest',
      path: `/files?select=id,jobs!inner(id,status)&jobs.status=eq.queued&${NEWEST}`,
    },
    { name: 'files: change by key', method: 'PATCH', path: `/files?id=eq.${fileId}`, ...json({ name: 'renamed.csv' }) },
    { name: 'files: delete by key', method: 'DELETE', path: `/files?id=eq.${NOBODY}` },
    { name: 'jobs: newest', path: `/jobs?${NEWEST}` },
    { name: 'jobs: next page', path: `/jobs?${pageAfter(at, jobId)}` },
    { name: 'jobs: by key', path: `/jobs?id=eq.${jobId}` },
    { name: 'jobs: by idempotency key', path: '/jobs?idempotency_key=eq.key-1' },
    { name: 'jobs: filter, newest', path: `/jobs?status=eq.succeeded&${NEWEST}` },
    { name: 'jobs: rare filter, newest', path: `/jobs?status=eq.queued&${NEWEST}` },
    { name: 'jobs: count', path: '/jobs?limit=1', headers: COUNT },
    { name: 'jobs: rare filter, count', path: '/jobs?status=eq.queued&limit=1', headers: COUNT },
    { name: 'jobs: newest, with files', path: `/jobs?select=id,status,files(id,name)&${NEWEST}` },
    {
      name: 'jobs: newest, with findings',
      path: `/jobs?select=id,job_findings(rule,row)&job_findings.limit=5&${NEWEST}`,
    },
    { name: 'jobs: one with findings', path: `/jobs?select=id,job_findings(rule,row)&id=eq.${jobId}` },
    { name: 'jobs: delete by key', method: 'DELETE', path: `/jobs?id=eq.${NOBODY}` },
    { name: 'job_findings: of a job', path: `/job_findings?job_id=eq.${jobId}&order=ordinal&limit=100` },
    { name: 'job_findings: by key', path: `/job_findings?job_id=eq.${jobId}&ordinal=eq.0` },
    {
      name: 'job_findings: of a job, filter',
      path: `/job_findings?job_id=eq.${jobId}&severity=eq.warning&order=ordinal&limit=100`,
    },
    { name: 'job_findings: of a job, count', path: `/job_findings?job_id=eq.${jobId}&limit=1`, headers: COUNT },
    { name: 'job_findings: count', path: '/job_findings?limit=1', headers: COUNT },
    { name: 'members: list', path: '/members?order=user_id&limit=20' },
    { name: 'members: by key', path: `/members?user_id=eq.${userId}` },
    { name: 'members: filter', path: '/members?role=eq.admin&order=user_id&limit=20' },
    { name: 'members: count', path: '/members?limit=1', headers: COUNT },
    {
      name: 'members: change by key',
      method: 'PATCH',
      path: '/members?user_id=eq.nobody',
      ...json({ role: 'member' }),
    },
    { name: 'members: delete by key', method: 'DELETE', path: '/members?user_id=eq.nobody' },
    { name: 'api_keys: list', path: '/api_keys?order=id&limit=20' },
    { name: 'api_keys: by key', path: `/api_keys?id=eq.${apiKeyId}` },
    { name: 'api_keys: filter', path: '/api_keys?revoked_at=is.null&order=id&limit=20' },
    { name: 'api_keys: count', path: '/api_keys?limit=1', headers: COUNT },
    { name: 'events: newest', path: '/events?order=position.desc&limit=50' },
    { name: 'events: next page', path: '/events?position=lt.1000000&order=position.desc&limit=50' },
    { name: 'events: those that follow', path: '/events?position=gt.1&order=position&limit=50' },
    { name: 'event_types: list', path: '/event_types' },
    { name: 'job_schedules: list', path: '/job_schedules?order=name&limit=20' },
    { name: 'job_schedules: by key', path: `/job_schedules?id=eq.${NOBODY}` },
    { name: 'webhook_endpoints: list', path: '/webhook_endpoints?order=id&limit=20' },
    { name: 'webhook_endpoints: by key', path: `/webhook_endpoints?id=eq.${NOBODY}` },
    {
      name: 'webhook_deliveries: of an endpoint, newest',
      path: `/webhook_deliveries?endpoint_id=eq.${NOBODY}&order=position.desc&limit=20`,
    },
    {
      name: 'webhook_attempts: of a delivery',
      path: `/webhook_attempts?endpoint_id=eq.${NOBODY}&position=eq.1&order=attempt`,
    },
    { name: 'webhook_blocked_keys: of an endpoint', path: `/webhook_blocked_keys?endpoint_id=eq.${NOBODY}` },
    { name: 'tenant: own', path: '/tenant' },
    { name: 'tenant: change', method: 'PATCH', path: '/tenant?id=eq.nobody', ...json({ name: 'Renamed' }) },
    { name: 'rpc/whoami', path: '/rpc/whoami' },
    { name: 'rpc/event_position', path: `/rpc/event_position?at=${at}` },
    { name: 'rpc/explain_access', path: `/rpc/explain_access?method=GET&relation=files&row_key={"id":"${fileId}"}` },
  ];
}
