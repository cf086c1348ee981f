import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { writeFix } from '../../functions/doctor/fix.ts';
import { parseLint, readLints } from '../../functions/doctor/lints.ts';
import { runDoctor } from '../../functions/doctor/run.ts';
import { acceptFindings, judge, readExceptions } from '../../functions/doctor/waivers.ts';
import { checkMigrations, migrationProblems } from '../../functions/migrate/check.ts';
import { parseMigration } from '../../functions/migrate/files.ts';
import { packageRoot } from '../../functions/paths.ts';
import { addNotes } from '../isolation/notes.ts';
import { createBlankDatabase } from '../support/blank-database.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { temporaryDirectory } from '../support/temporary.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
});

afterAll(() => stack?.stop());

const FLAW = 'alter table app.files no force row level security; create index files_name_idx on app.files (name)';
const REPAIR = 'alter table app.files force row level security; drop index if exists app.files_name_idx';
const FORCED = '0002_rls_not_forced';
const LEADING = readLints().find(({ lint }) => lint.endsWith('_index_not_tenant_leading'))?.lint ?? '';

async function flaw(): Promise<void> {
  await stack.migrator.query(FLAW);
}
afterEach(() => stack.migrator.query(REPAIR));

function doctor(args: string[], cwd: string, database = stack.database.migrator) {
  const { DATABASE_URL: _, ...env } = process.env;
  const child = spawn(
    process.execPath,
    [join(packageRoot, 'bin/rowhouse.js'), 'doctor', '--database', database, ...args],
    {
      cwd,
      env,
    },
  );
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk) => (printed[name] += chunk));
  return new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on('close', (status) => resolve({ status, ...printed })),
  );
}
const asJson = async (args: string[], cwd: string) => {
  const { status, stdout } = await doctor(['--json', ...args], cwd);
  return { status, ...JSON.parse(stdout) };
};
const names = (found: { lint: string; object: string }[]) => found.map(({ lint, object }) => `${lint} ${object}`);

describe('rowhouse doctor', () => {
  test('is content with the reference schema, counts what is accepted, and exits with 0', async () => {
    const cwd = temporaryDirectory();
    const { status, findings, counts, waived, lints } = await asJson([], cwd);
    expect({ status, findings, counts }).toEqual({
      status: 0,
      findings: [],
      counts: { error: 0, warning: 0, info: 0 },
    });
    expect(names(waived).sort()).toEqual(names(readExceptions()).sort());
    expect(lints).toBe(readLints().length);
    const human = await doctor([], cwd);
    expect([human.status, human.stdout]).toEqual([
      0,
      `The wall holds: ${lints} lints, no findings, ${waived.length} accepted with a reason.\n`,
    ]);
  });

  test('prints each finding with its remedy and page, worst first, and exits with 1', async () => {
    await flaw();
    const cwd = temporaryDirectory();
    const { status, findings, counts } = await asJson([], cwd);
    expect([status, counts]).toEqual([1, { error: 1, warning: 1, info: 0 }]);
    expect(findings[0]).toEqual({
      lint: FORCED,
      level: 'error',
      title: 'Row-level security does not bind the owner',
      docs: `docs/lints/${FORCED}.md`,
      fix: 'migration',
      object: 'app.files',
      detail: 'its owner, and every security definer function of the owner, passes by the policies',
      remedy: 'alter table app.files force row level security;',
      metadata: { relation: 'app.files', partition: false },
    });
    const { stdout } = await doctor([], cwd);
    expect(stdout.indexOf(FORCED)).toBeLessThan(stdout.indexOf(LEADING));
    expect(stdout).toMatch(/\n1 error, 1 warning, 0 infos, \d+ accepted with a reason\.\n$/);
  });

  test('annotates the line of the book that makes the object, for GitHub and in SARIF 2.1.0', async () => {
    await flaw();
    const cwd = temporaryDirectory();
    const book = readFileSync(join(packageRoot, 'sql/app/files.sql'), 'utf8').split('\n');
    const line = book.indexOf('--@ table app.files') + 1;
    expect(line).toBeGreaterThan(0);
    const github = await doctor(['--github'], cwd);
    expect(github.status).toBe(1);
    expect(github.stdout.split('\n').map((row) => row.split('::')[1])).toEqual([
      `error file=sql/app/files.sql,line=${line},title=${FORCED}%3A Row-level security does not bind the owner`,
      `warning file=sql/app/files.sql,line=${line},title=${LEADING}%3A An index does not lead with the tenant`,
      undefined,
    ]);

    const { version, runs } = JSON.parse((await doctor(['--sarif'], cwd)).stdout);
    const [{ tool, results }] = runs;
    expect(version).toBe('2.1.0');
    expect(tool.driver.rules.map(({ id }: { id: string }) => id)).toEqual(readLints().map(({ lint }) => lint));
    const [first] = results;
    expect(tool.driver.rules[first.ruleIndex].id).toBe(first.ruleId);
    expect([first.ruleId, first.level, first.locations[0].physicalLocation]).toEqual([
      FORCED,
      'error',
      { artifactLocation: { uri: 'sql/app/files.sql', uriBaseId: '%SRCROOT%' }, region: { startLine: line } },
    ]);
    const suppressed = results.filter((result: { suppressions?: unknown[] }) => result.suppressions);
    expect(suppressed).toHaveLength(readExceptions().length);
    expect(results).toHaveLength(suppressed.length + 2);
  });

  test('accepts what --accept wrote, says what a waiver no longer covers, and brings back what expired', async () => {
    await flaw();
    const cwd = temporaryDirectory();
    const file = join(cwd, 'doctor.waivers.json');
    expect(await asJson(['--accept', 'until the move'], cwd)).toEqual({
      status: 0,
      file: 'doctor.waivers.json',
      added: 2,
    });
    const accepted = await asJson([], cwd);
    expect([accepted.status, accepted.findings]).toEqual([0, []]);
    expect(accepted.waived.slice(-2).map(({ reason }: { reason: string }) => reason)).toEqual([
      'until the move',
      'until the move',
    ]);

    await stack.migrator.query(REPAIR);
    const unused = await asJson([], cwd);
    expect([unused.status, unused.counts]).toEqual([0, { error: 0, warning: 0, info: 2 }]);
    expect(names(unused.findings)).toContain(`waiver_unused ${FORCED} app.files`);
    expect((await doctor(['--strict'], cwd)).status).toBe(1);

    await flaw();
    const waivers = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify(waivers.map((waiver: object) => ({ ...waiver, expires: '2020-01-31' }))));
    const { status, findings } = await asJson(['--baseline', file], cwd);
    expect(status).toBe(1);
    expect(names(findings)).toEqual([
      `${FORCED} app.files`,
      `${LEADING} app.files_name_idx`,
      `waiver_expired ${FORCED} app.files`,
      `waiver_expired ${LEADING} app.files_name_idx`,
    ]);
  });

  test('exits with 2 where it cannot run: no server, no schema, no waivers that it can read', async () => {
    const cwd = temporaryDirectory();
    const refused = async (args: string[], database?: string) => {
      const { status, stderr } = await doctor(['--json', ...args], cwd, database);
      return [status, JSON.parse(stderr).code];
    };
    expect(await refused([], 'postgres://nobody@127.0.0.1:1/none')).toEqual([2, 'database_unavailable']);
    const blank = await createBlankDatabase();
    onTestFinished(() => blank.drop());
    expect(await refused([], blank.urls.migrator)).toEqual([2, 'schema_missing']);
    const file = join(cwd, 'waivers.json');
    expect(await refused(['--baseline', file])).toEqual([2, 'usage_invalid']);
    writeFileSync(file, JSON.stringify([{ lint: FORCED, object: 'app.files', expires: '2030-01-01' }]));
    expect(await refused(['--baseline', file])).toEqual([2, 'usage_invalid']);
    expect((await doctor(['--json', '--sarif'], cwd)).status).toBe(2);
  });
});

describe('runDoctor', () => {
  test('sees what the caller’s transaction changed, and leaves its settings alone', async () => {
    const client = await stack.migrator.connect();
    try {
      await client.query('begin; set local search_path = app, public; alter table app.jobs disable row level security');
      expect(names(await runDoctor(client))).toEqual(['0001_rls_disabled app.jobs']);
      const { rows } = await client.query(
        `select current_setting('search_path') as path, current_setting('jit') as jit`,
      );
      const { rows: before } = await stack.migrator.query(`select current_setting('jit') as jit`);
      expect(rows[0]).toEqual({ path: 'app, public', jit: before[0].jit });
    } finally {
      await client.query('rollback');
      client.release();
    }
    const { rows } = await stack.migrator.query(`select current_setting('search_path') as path`);
    expect(rows[0].path).not.toBe('');
  });

  test('does not ask for what a database has not come to yet', async () => {
    const client = await stack.migrator.connect();
    try {
      await client.query('begin; alter table app.jobs disable row level security');
      await client.query('alter table tenancy.tenants drop column statement_timeout_ms cascade');
      expect(names(await runDoctor(client))).toContain('0001_rls_disabled app.jobs');
    } finally {
      await client.query('rollback');
      client.release();
    }
  });

  test('has nothing to say of tables that a DBA adds through protect()', async () => {
    const other = await createTestStack({ postgrest: false });
    try {
      await addNotes(other);
      const client = await other.migrator.connect();
      expect(names(await runDoctor(client))).toEqual([]);
      client.release();
    } finally {
      await other.stop();
    }
  });
});

describe('writeFix', () => {
  test('writes a migration that passes the checks and repairs what the owner can repair, and names the rest', async () => {
    await flaw();
    const client = await stack.migrator.connect();
    try {
      const findings = await runDoctor(client);
      const dir = temporaryDirectory();
      const { file, fixed, left } = await writeFix(findings, dir);
      expect([names(fixed), names(left)]).toEqual([[`${FORCED} app.files`], [`${LEADING} app.files_name_idx`]]);
      expect(file).toMatch(/^\d{14}_doctor_fix\.sql$/);
      expect(await checkMigrations(dir)).toEqual([file]);
      const migration = parseMigration(file, readFileSync(join(dir, file), 'utf8'));
      expect(migrationProblems([migration])).toEqual([]);
      expect(names(await runDoctor(client))).toEqual(names(findings));
      await client.query(`begin; ${migration.up}; commit`);
      expect(names(await runDoctor(client))).toEqual(names(left));
      await expect(writeFix(left, dir)).rejects.toMatchObject({ code: 'usage_invalid' });
    } finally {
      client.release();
    }
  });
});

describe('waivers', () => {
  const finding = {
    lint: FORCED,
    object: 'app.files',
    level: 'error',
    title: '',
    detail: '',
    remedy: '',
    docs: '',
  } as const;
  const known = { ...finding, fix: 'hand' as const, metadata: {} };
  const findings = [known];
  const waiver = { lint: FORCED, object: 'app.files', reason: 'known', expires: '2026-05-31' };

  test('hold through the day that they name, and not the day after', () => {
    expect(names(judge(findings, [waiver], '2026-05-31').findings)).toEqual([]);
    expect(names(judge(findings, [waiver], '2026-06-01').findings)).toEqual([
      `${FORCED} app.files`,
      `waiver_expired ${FORCED} app.files`,
    ]);
    expect(judge([], [waiver], '2026-06-01').findings).toMatchObject([{ lint: 'waiver_unused', level: 'info' }]);
  });

  test('are for one object of one lint', () => {
    const others = [
      { ...waiver, object: 'app.jobs' },
      { ...waiver, lint: '0001_rls_disabled' },
    ];
    expect(names(judge(findings, others, '2026-05-31').findings)).toContain(`${FORCED} app.files`);
  });

  test('that are still good keep their reason when more is accepted', () => {
    const file = join(temporaryDirectory(), 'waivers.json');
    writeFileSync(file, JSON.stringify([waiver, { ...waiver, object: 'app.gone' }]));
    const more = [...findings, { ...known, object: 'app.jobs' }];
    expect(acceptFindings(file, more, 'later', new Date('2026-05-01T12:00:00Z'))).toBe(1);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual([
      waiver,
      { lint: FORCED, object: 'app.jobs', reason: 'later', expires: '2026-07-30' },
    ]);
  });
});

test('a lint whose head is not whole, or not that of its file, is refused', () => {
  const source = '-- id: 0001\n-- name: x\n-- level: error\n-- fix: hand\n-- title: T\n-- why: a\n--   b\n\nselect 1\n';
  expect(parseLint('0001_x.sql', source)).toMatchObject({ lint: '0001_x', why: 'a b', query: 'select 1' });
  expect(() => parseLint('0002_x.sql', source)).toThrow('0002_x.sql');
  expect(() => parseLint('0001_x.sql', source.replace('error', 'fatal'))).toThrow('0001_x.sql');
  expect(() => parseLint('0001_x.sql', source.replace('-- title: T\n', ''))).toThrow('0001_x.sql');
});
