import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../functions/paths.ts';
import type { Outcome } from '../../functions/tune/build.ts';
import type { Verdict } from '../../functions/tune/prune.ts';
import type { surveyJson } from '../../functions/tune/report.ts';
import { createTestStack, type TestStack, type TestStackOptions } from '../support/stack.ts';

export const LARGE = 't_large';
export const SMALL = 't_small_1';
const SMALL_TENANTS = 12;
const ROWS = 30_000;

export const LISTS = {
  /** One of a thousand. */
  failed: '/v1/jobs?status=eq.failed&order=created_at.desc&limit=20',
  unfinished: '/v1/jobs?finished_at=is.null&limit=20',
  /** Half of the jobs are of five robots, the other half of thousands of users. */
  own: '/v1/jobs?created_by=eq.user7&limit=10',
  /** By columns that depend on each other. */
  named: '/v1/files?name=eq.name7&content_type=eq.text/x7&created_by=eq.u7&limit=10',
};

/** A stack with one large tenant among small ones, analysed. Its rows were not written by it: no ledger has them. */
export async function createTuneStack(options: TestStackOptions = { postgrest: false }): Promise<TestStack> {
  const stack = await createTestStack(options);
  await stack.createTenant(LARGE);
  for (let nth = 1; nth <= SMALL_TENANTS; nth++) await stack.createTenant(`t_small_${nth}`);
  await stack.admin.query(`begin;
    set local session_replication_role = replica;
    insert into app.jobs (tenant_id, type, status, created_by, created_at, finished_at)
    select t.id, 'csv.validate', s.status, case when n % 2 = 0 then 'robot' || n % 10 else 'user' || n / 4 end, now() - n * interval '1 minute', case when s.status <> 'queued' then now() end
    from tenancy.tenants t cross join generate_series(1, ${ROWS}) n
    cross join lateral (select case when n % 997 = 0 then 'failed' when n > ${ROWS - 100} then 'queued' else 'succeeded' end) as s (status)
    where t.id = '${LARGE}' or n <= 50;
    insert into app.files (tenant_id, name, content_type, size, created_by, created_at)
    select t.id, 'name' || n % 400, 'text/x' || n % 40, n, 'u' || n % 20, now() - n * interval '1 minute'
    from tenancy.tenants t cross join generate_series(1, ${ROWS}) n where t.id = '${LARGE}' or n <= 50;
    commit;`);
  await stack.admin.query('analyze app.jobs, app.files');
  return stack;
}

export function writeLists(directory: string, ...lists: string[]): string {
  const file = join(directory, 'lists.txt');
  writeFileSync(file, `# what clients ask for\n${lists.join('\n')}\n`);
  return file;
}

/** What `--json` prints: of a survey, of --apply, of --prune, or an error. */
export interface Printed extends ReturnType<typeof surveyJson> {
  outcomes: Outcome[];
  verdicts: Verdict[];
  removed: boolean;
  code: string;
  detail: string;
  hint: string;
}

export interface Tuning {
  pid: number;
  done: Promise<{ code: number | null; printed: Printed }>;
}

/** Starts `rowhouse tune … --json` on a database. */
export function startTune(database: string, ...args: string[]): Tuning {
  const command = [join(packageRoot, 'functions/cli/main.ts'), 'tune', ...args, '--json'];
  const child = spawn(process.execPath, command, { env: { ...process.env, DATABASE_URL: database } });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const done = new Promise<Awaited<Tuning['done']>>((resolve) => {
    child.on('close', (code) => {
      const text = stdout || stderr;
      resolve({ code, printed: text.startsWith('{') ? JSON.parse(text) : { detail: text } });
    });
  });
  return { pid: child.pid ?? 0, done };
}

/** What of this program's making is in the catalogue: indexes, statistics, targets (0 is what protect() sets); and how much there is of everything. */
export async function catalogueOf(stack: TestStack) {
  const { rows } = await stack.admin.query<{
    indexes: string[];
    relations: number;
    statistics: number;
    targets: number;
  }>(
    `select array(select c.relname::text || case when indisvalid then '' else ' invalid' end
         from pg_index join pg_class c on c.oid = indexrelid where c.relname ~ '_tune_[0-9a-f]{8}' order by 1) as indexes,
       (select count(*)::integer from pg_class where relnamespace <> 'pg_toast'::regnamespace) as relations,
       (select count(*)::integer from pg_statistic_ext) as statistics,
       (select count(*)::integer from pg_attribute where attstattarget > 0) as targets`,
  );
  if (!rows[0]) throw new Error('the catalogue answered nothing');
  return rows[0];
}
