import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { RowhouseError } from '../../errors.ts';
import { expectStatus, type TenantClient } from './client.ts';
import { type Dataset, datasetPath } from './datasets.ts';

interface Upload {
  file: { id: string };
  upload: { method: string; url: string; headers: Record<string, string> };
}

export interface Job {
  id: string;
  status: string;
  progress: { bytes?: number; total_bytes?: number; rows?: number };
  result: Record<string, unknown> & {
    rows: number;
    findings: number;
    report_file_id: string;
    repaired_file_id: string;
  };
  error: { code: string; message: string } | null;
}

export interface Finding {
  row: number | null;
  column_name: string | null;
  rule: string;
  severity: string;
  message: string;
  value: string | null;
}

const fail = (detail: string): never => {
  throw new RowhouseError('demo_failed', { detail, hint: 'The logs of every process are in .rowhouse/logs.' });
};

/** Announces a file, sends its bytes to the signed URL, and returns its id. */
export async function uploadFile(tenant: TenantClient, { file }: Dataset): Promise<string> {
  const bytes = await readFile(datasetPath(file));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const announced = await tenant.post('/storage/v1/uploads', {
    name: file,
    content_type: 'text/csv',
    size: bytes.length,
    sha256,
  });
  const { file: row, upload } = expectStatus<Upload>(announced, 201, `announcing ${file}`);
  // fetch() states the length itself; stated twice, a newer undici in the same process refuses it.
  const { 'content-length': _length, ...headers } = upload.headers;
  const stored = await fetch(upload.url, { method: upload.method, headers, body: bytes });
  if (!stored.ok) fail(`storing ${file}: got ${stored.status} ${await stored.text()}`);
  return row.id;
}

/** Submits the job twice with one idempotency key, which has to give one job. */
export async function submitJob(tenant: TenantClient, { rules }: Dataset, fileId: string): Promise<string> {
  const job = { type: 'csv.validate', idempotency_key: `demo-${fileId}`, input: { file_id: fileId, ...rules } };
  const post = async () => {
    const answer = await tenant.post('/v1/jobs', job, { prefer: 'return=representation' });
    return expectStatus<Job[]>(answer, 201, 'submitting the job')[0]?.id ?? fail('the job came back without an id');
  };
  const [first, second] = [await post(), await post()];
  if (first !== second) fail('one idempotency key gave two jobs');
  return first;
}

/** Watches a job until it has succeeded. */
export async function watchJob(tenant: TenantClient, id: string, onProgress: (job: Job) => void): Promise<Job> {
  for (const deadline = Date.now() + 120_000; Date.now() < deadline; await sleep(100)) {
    const [job] = expectStatus<Job[]>(await tenant.get(`/v1/jobs?id=eq.${id}`), 200, 'watching the job');
    if (!job) return fail(`job ${id} is gone`);
    if (job.status === 'succeeded') return job;
    if (job.status === 'failed' || job.status === 'cancelled')
      return fail(`job ${id} ${job.status}: ${JSON.stringify(job.error)}`);
    onProgress(job);
  }
  return fail(`job ${id} has not ended in two minutes`);
}

/** The first findings of a job, in the order of the file. */
export async function readFindings(tenant: TenantClient, id: string, limit: number): Promise<Finding[]> {
  return expectStatus<Finding[]>(
    await tenant.get(`/v1/job_findings?job_id=eq.${id}&order=ordinal&limit=${limit}`),
    200,
    'reading findings',
  );
}

/** Fetches what a job wrote, and checks it against the checksum that the API shows. */
export async function downloadFile(tenant: TenantClient, id: string): Promise<string> {
  const redirect = await tenant.get(`/storage/v1/files/${id}`);
  expectStatus(redirect, 302, 'asking for a file');
  const [row] = expectStatus<{ sha256: string }[]>(
    await tenant.get(`/v1/files?id=eq.${id}&select=sha256`),
    200,
    'reading a file row',
  );
  const response = await fetch(redirect.headers.get('location') ?? fail('the redirect names no location'));
  const bytes = Buffer.from(await response.arrayBuffer());
  if (!response.ok) fail(`downloading a file: got ${response.status}`);
  if (createHash('sha256').update(bytes).digest('hex') !== row?.sha256) fail(`file ${id} does not have its checksum`);
  return bytes.toString('utf8');
}

/** Another tenant asks the same URLs: lists are empty, single things do not exist. */
export async function expectNothing(
  stranger: TenantClient,
  jobId: string,
  fileIds: string[],
): Promise<{ path: string; answer: string }[]> {
  const seen: { path: string; answer: string }[] = [];
  const lists = [
    `/v1/jobs?id=eq.${jobId}`,
    `/v1/job_findings?job_id=eq.${jobId}`,
    `/v1/files?id=in.(${fileIds.join(',')})`,
  ];
  for (const path of lists) {
    const rows = expectStatus<unknown[]>(await stranger.get(path), 200, `the other tenant at ${path}`);
    if (rows.length > 0) fail(`the other tenant sees ${rows.length} rows at ${path}`);
    seen.push({ path, answer: '200 []' });
  }
  for (const id of fileIds) {
    const path = `/storage/v1/files/${id}`;
    const { code } = expectStatus<{ code: string }>(await stranger.get(path), 404, `the other tenant at ${path}`);
    seen.push({ path, answer: `404 ${code}` });
  }
  const cancelled = await stranger.post('/v1/rpc/cancel_job', { id: jobId });
  seen.push({
    path: '/v1/rpc/cancel_job',
    answer: `404 ${expectStatus<{ code: string }>(cancelled, 404, 'the other tenant cancelling').code}`,
  });
  return seen;
}
