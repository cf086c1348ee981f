import { spawn } from 'node:child_process';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { diffPoints } from '../../functions/diff/diff.ts';
import { listMigrations, migrationsDir } from '../../functions/migrate/files.ts';
import { freezeMigrations } from '../../functions/migrate/freeze.ts';
import { packageRoot } from '../../functions/paths.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { temporaryDirectory } from '../support/temporary.ts';

let released: TestStack;
let altered: TestStack;
let label: string;

beforeAll(async () => {
  [released, altered] = await Promise.all([
    createTestStack({ postgrest: false }),
    createTestStack({ postgrest: false }),
  ]);
  const { host, pathname } = new URL(released.database.migrator);
  label = `${host}${pathname}`;
  await altered.migrator.query(`
    alter table app.files no force row level security;
    grant select on app.files to operator;
    comment on table app.files is 'changed'`);
});

afterAll(async () => {
  const { rows } = await released.admin.query(
    `select datname from pg_database where datname like 'rowhouse\\_diff\\_%'`,
  );
  await Promise.all([released.stop(), altered.stop()]);
  expect(rows).toEqual([]);
});

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

function rowhouse(...args: string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [join(packageRoot, 'bin/rowhouse.js'), 'diff', ...args], {
    cwd: temporaryDirectory(),
    env: { ...process.env, DATABASE_URL: released.database.admin },
  });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk) => (printed[name] += chunk));
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, ...printed })));
}

test('says that nothing changed between two databases of the same migrations', async () => {
  expect(await rowhouse(released.database.migrator, released.database.admin)).toEqual({
    status: 0,
    stdout: `Nothing changed in the wall from ${label} to ${label}.\n`,
    stderr: '',
  });
});

test('tells each change of a database in a line with the reason, and exits with 1 where one is dangerous', async () => {
  const { status, stdout, stderr } = await rowhouse(released.database.migrator, altered.database.migrator);
  const lines = stdout.split('\n').map((text) => text.trim());
  expect([status, stderr]).toEqual([1, '']);
  expect(lines).toEqual([
    'dangerous  table app.files: forced true → false',
    "The owner and its security definer functions pass the policies and reach every tenant's rows.",
    'review     grant granted to operator on table app.files: select',
    'A role can do more than before; policies still decide on which rows.',
    'safe       comment table app.files changed',
    'A comment decides nothing: clients read it in the documentation of the API.',
    expect.stringMatching(/^From \S+ to \S+: 1 dangerous, 1 to review, 1 safe\.$/),
    '',
  ]);
  expect(stdout).not.toContain(new URL(altered.database.migrator).password);
});

test('passes the same changes back, since they close the wall, unless told to fail on less', async () => {
  const back = await rowhouse(altered.database.migrator, released.database.migrator, '--json');
  expect([back.status, back.stderr]).toEqual([0, '']);
  expect(JSON.parse(back.stdout)).toMatchObject({
    to: label,
    dangerous: 0,
    review: 0,
    safe: 3,
    changes: [
      { rule: 'comment' },
      {
        rule: 'grant-revoked',
        kind: 'grant',
        object: 'to operator on table app.files',
        before: ['select'],
        after: null,
      },
      { rule: 'force-on', level: 'safe', fact: 'forced', before: false, after: true },
    ],
  });
  await altered.migrator.query('alter table app.files force row level security');
  const compare = (level: string) =>
    rowhouse(released.database.migrator, altered.database.migrator, '--fail-on', level, '--json');
  expect((await compare('dangerous')).status).toBe(0);
  expect((await compare('review')).status).toBe(1);
  await altered.migrator.query('alter table app.files no force row level security');
});

test('builds points of the migrations and the book, and drops them', async () => {
  const server = released.database.admin;
  const last = (await listMigrations()).at(-1);
  expect(await diffPoints('migration:latest', released.database.admin, { server })).toMatchObject({
    from: last,
    changes: [],
  });
  expect(await diffPoints('book', 'book', { server })).toMatchObject({ from: 'book', to: 'book', changes: [] });
  const drifted = await diffPoints('migration:latest', altered.database.admin, { server });
  expect(drifted.changes.map(({ rule }) => rule)).toEqual(['force-off', 'grant-added', 'comment']);
});

test('starts from the last released migration', async () => {
  const dir = join(temporaryDirectory(), 'migrations');
  cpSync(migrationsDir, dir, { recursive: true });
  await freezeMigrations(dir);
  const last = (await listMigrations(dir)).at(-1);
  writeFileSync(
    join(dir, '29991231235959_open.sql'),
    `-- migrate:up\nset local lock_timeout = '3s';\ngrant select on tenancy.plans to anon;\n\n-- migrate:down\nset local lock_timeout = '3s';\nrevoke select on tenancy.plans from anon;\n`,
  );
  const diff = await diffPoints('migration:released', 'migration:latest', { server: released.database.admin, dir });
  expect([diff.from, diff.to]).toEqual([last, '29991231235959_open.sql']);
  expect(diff.changes.map(({ level, what }) => `${level} ${what}`)).toEqual([
    'dangerous grant granted to anon on table tenancy.plans: select',
  ]);
  const named = await diffPoints('migration:2999', 'migration:latest', { server: released.database.admin, dir });
  expect(named.changes).toEqual([]);
});

test('says that nothing is released where nothing is frozen', async () => {
  const dir = join(temporaryDirectory(), 'migrations');
  cpSync(migrationsDir, dir, { recursive: true });
  await expect(
    diffPoints('migration:released', 'book', { server: released.database.admin, dir }),
  ).rejects.toMatchObject({
    code: 'usage_invalid',
    detail: 'no migration is frozen yet',
    hint: 'A release freezes them with: rowhouse migrate freeze',
  });
});

test.each([
  ['a version that is none', ['migration:19700101', 'book'], 'usage_invalid: migration:19700101 is no migration'],
  ['a name that is none', ['migration:next', 'book'], 'usage_invalid: migration:next is no migration'],
  [
    'another word, without repeating it',
    ['postgres//u:secret@h/d', 'book'],
    'usage_invalid: one side of the comparison is neither a database nor a point of the migrations',
  ],
  [
    'a server that does not answer',
    ['postgres://u:secret@127.0.0.1:1/d', 'postgres://u:secret@127.0.0.1:1/d'],
    'database_unavailable: 127.0.0.1:1/d: connect ECONNREFUSED 127.0.0.1:1',
  ],
])('cannot run on %s', async (_name, args, message) => {
  const { status, stdout, stderr } = await rowhouse(...args);
  expect([status, stdout, stderr.split('\n')[0]]).toEqual([2, '', `error ${message}`]);
  expect(stderr).not.toContain('secret');
});

test('cannot compare what a login does not see', async () => {
  const { status, stderr } = await rowhouse(released.database.authenticator, released.database.admin);
  expect([status, stderr.split('\n')[0]]).toEqual([
    2,
    `error permission_denied: ${label}: permission denied for schema public`,
  ]);
});

test('cannot build on a server where the login is no superuser', async () => {
  const { status, stderr } = await rowhouse(
    'migration:latest',
    'book',
    '--json',
    '--database',
    released.database.migrator,
  );
  expect([status, JSON.parse(stderr)]).toMatchObject([
    2,
    {
      code: 'permission_denied',
      detail: 'a point of the migrations is built in a scratch database, which this login may not make',
    },
  ]);
});
