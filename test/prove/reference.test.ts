import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { htmlReport } from '../../functions/prove/report/html.ts';
import { jsonReport } from '../../functions/prove/report/json.ts';
import { junitReport } from '../../functions/prove/report/junit.ts';
import { prove } from '../../functions/prove/run.ts';
import type { ProveReport } from '../../functions/prove/types.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { brief, proveStack } from './proving.ts';

let stack: TestStack;
let report: ProveReport;
let before: unknown;

const tables = [
  'tenancy.tenants',
  'tenancy.members',
  'tenancy.retired_ids',
  'auth.operators',
  'app.files',
  'app.jobs',
  'app.job_findings',
];

/** What is stored, and the catalogue flags that filling lifts for a moment. */
async function contents(): Promise<unknown> {
  const counts = tables.map((table) => `(select count(*) from ${table})`).join(', ');
  const { rows } = await stack.admin.query(`
    select array[${counts}]::int[] as rows,
      (select array_agg(relname::text order by relname) from pg_class where relrowsecurity and not relforcerowsecurity) as unforced`);
  return rows[0];
}

beforeAll(async () => {
  stack = await createTestStack({ edge: true, worker: true });
  await stack.createTenant('t_acme');
  // A database that is in use: rules count no rows but their own.
  const token = await stack.token({ tenant: 't_acme' });
  const body = { name: 'a.csv', content_type: 'text/csv', size: 1 };
  const announced = await http(`${stack.edge}/v1/files`, { token, body, headers: { 'idempotency-key': 'in use' } });
  expect(announced.status).toBe(201);
  before = await contents();
  report = await proveStack(stack, {}, 'everything');
}, 420_000);

afterAll(() => stack?.stop());

describe('the reference schema', () => {
  test('gives way to nothing, through PostgREST, the edge and direct sessions', () => {
    expect(brief(report.findings)).toEqual([]);
    expect([report.leaks, report.uncovered]).toEqual([0, 0]);
  });

  test('is attacked by at least 2,000 probes', () => {
    expect(report.probes).toBeGreaterThan(2000);
  });

  test('has no cell that nothing covers, for any relation, verb, role and vector', () => {
    expect(report.relations).toEqual(
      expect.arrayContaining([
        'v1.files',
        'v1.jobs',
        'v1.job_findings',
        'v1.members',
        'v1.tenant',
        'admin.tenants',
        'admin.plans',
      ]),
    );
    const empty = report.cells.filter(({ probes, nothing }) => probes === 0 && !nothing);
    expect(empty).toEqual([]);
    for (const role of [
      'viewer',
      'member',
      'admin',
      'owner',
      'operator',
      'none',
      'authenticator as tenant_user',
      'rowhouse_worker',
    ]) {
      expect(report.cells.filter((cell) => cell.role === role).length, role).toBeGreaterThan(10);
    }
  });

  test('keeps nothing of the throw-away tenants', async () => {
    expect(await contents()).toEqual(before);
  });
});

test('asks the same again under the same seed, and something else under another', async () => {
  const only = { relations: ['v1.files', 'v1.cancel_job()'] };
  const digestOf = async (seed: number) => (await proveStack(stack, { seed, only, quick: true })).digest;
  const first = await digestOf(11);
  expect(await digestOf(11)).toBe(first);
  expect(await digestOf(12)).not.toBe(first);
});

test('reports for machines have the figures, and each finding', () => {
  const finding = {
    kind: 'leak' as const,
    at: 'v1.files · select · viewer · read · direct · everything',
    relation: 'v1.files',
    detail: 'a <b> & "c"',
    curl: "curl -i 'x'",
  };
  const leaking = { ...report, findings: [finding], leaks: 1 };
  expect(Object.keys(jsonReport(leaking))).toEqual(
    expect.arrayContaining(['findings', 'probes', 'leaks', 'uncovered', 'seed']),
  );
  const junit = junitReport(leaking);
  expect(junit).toContain(`<testsuites name="rowhouse prove" tests="${report.cells.length + 1}" failures="1"`);
  expect(junit.match(/<failure type="leak" message="[^"<>]*a &lt;b&gt; &amp; &quot;c&quot;">/g)).toHaveLength(1);
  const html = htmlReport(leaking);
  expect(html).toContain('a &#60;b&#62; &#38; &#34;c&#34;');
  expect(html).not.toMatch(/<(?:script|link|img)|https?:/);
});

test('refuses a database that is not marked as disposable, and works there when told', async () => {
  const { rows } = await stack.admin.query('select current_database() as name');
  const mark = (comment: string) => stack.admin.query(`comment on database ${rows[0].name} is ${comment}`);
  await mark('null');
  try {
    await expect(proveStack(stack)).rejects.toMatchObject({ code: 'database_not_disposable' });
    const options = { seed: 7, quick: true, only: { relations: ['v1.tenant'], families: ['read' as const] } };
    const target = { database: stack.database.migrator, postgrest: stack.postgrest, allowAnyDatabase: true };
    expect(brief((await prove(target, options)).findings)).toEqual([]);
  } finally {
    await mark(`'rowhouse: disposable'`);
  }
});

test('removes its tenants when it is interrupted, and says that it was', async () => {
  const interruption = new AbortController();
  const running = proveStack(stack, { signal: interruption.signal, onProgress: () => interruption.abort() });
  await expect(running).rejects.toMatchObject({ detail: 'Interrupted.' });
  expect(await contents()).toEqual(before);
});

test('lets one prover at a time into a database', async () => {
  const results = await Promise.allSettled(
    [1, 2].map((seed) => proveStack(stack, { seed, quick: true, only: { relations: ['v1.tenant'] } })),
  );
  expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  expect(results.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'conflict' } });
});
