import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { http } from '../support/http.ts';
import { type Jobs, jobsOf } from '../support/jobs.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// The reference workload through the front door, with the worker as it is shipped.

let stack: TestStack;
let token: string;
let mine: Jobs;

beforeAll(async () => {
  stack = await createTestStack({ edge: true, worker: true });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  token = await stack.token({ tenant: 't_acme', role: 'member' });
  mine = jobsOf(`${stack.edge}/v1`, token);
});

afterAll(() => stack?.stop());

interface Upload {
  file: { id: string };
  upload: { url: string; headers: Record<string, string> };
}

const csv = 'id,name\n1,Ada\nx,Grace\n2,\n';
const columns = [
  { name: 'id', type: 'integer', required: true },
  { name: 'name', type: 'string', required: true },
];

async function announce(): Promise<Upload> {
  const body = { name: 'people.csv', content_type: 'text/csv', size: csv.length };
  const { status, body: upload } = await http<Upload>(`${stack.edge}/storage/v1/uploads`, { token, body });
  expect(status).toBe(201);
  return upload;
}

test('a validation of a file that is not there yet fails, and succeeds when it is retried after the upload', async () => {
  const { file, upload } = await announce();
  const id = await mine.start('csv.validate', { file_id: file.id, columns });
  expect((await mine.reaches(id, ['failed'])).error?.code).toBe('file_pending');

  const put = await fetch(upload.url, { method: 'PUT', headers: upload.headers, body: csv });
  expect(put.ok).toBe(true);
  expect((await mine.retry(id)).status).toBe(200);
  const job = await mine.reaches(id, ['succeeded']);
  expect(job.result).toMatchObject({ rows: 3, valid_rows: 1, invalid_rows: 2 });
  expect(await mine.findings(id)).toHaveLength(2);

  const report = String(job.result?.report_file_id);
  expect((await readFile(join(stack.storageDirectory, 't_acme/files', report))).length).toBeGreaterThan(0);
  const stranger = await stack.token({ tenant: 't_globex' });
  const fetched = await http<{ code: string }>(`${stack.edge}/storage/v1/files/${report}`, { token: stranger });
  expect([fetched.status, fetched.body.code]).toEqual([404, 'file_not_found']);
  expect((await http(`${stack.edge}/storage/v1/files/${report}`, { token })).status).toBe(302);
});

test("a validation of another tenant's file finds no such file", async () => {
  const { file, upload } = await announce();
  await fetch(upload.url, { method: 'PUT', headers: upload.headers, body: csv });
  const own = await mine.start('csv.validate', { file_id: file.id, columns });
  await mine.reaches(own, ['succeeded']);

  const theirs = jobsOf(`${stack.edge}/v1`, await stack.token({ tenant: 't_globex', role: 'member' }));
  const id = await theirs.start('csv.validate', { file_id: file.id, columns });
  expect((await theirs.reaches(id, ['failed'])).error?.code).toBe('file_not_found');
  expect(await theirs.findings(id)).toEqual([]);
});
