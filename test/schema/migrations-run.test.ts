import { expect, onTestFinished, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { migrateDown, migrateStatus, migrateUp } from '../../functions/migrate/dbmate.ts';
import { freezeMigrations } from '../../functions/migrate/freeze.ts';
import { createBlankDatabase } from '../support/blank-database.ts';
import { createBook, type SmallBook } from '../support/book.ts';

const migration = (up: string, down = 'select 1;') =>
  [
    `-- migrate:up`,
    `set local lock_timeout = '3s';`,
    up,
    `-- migrate:down`,
    `set local lock_timeout = '3s';`,
    down,
    '',
  ].join('\n');
const FIRST = '20250101000000_first.sql';
const SECOND = '20250101000001_second.sql';
const THIRD = '20250101000002_third.sql';

async function blank(): Promise<string> {
  const database = await createBlankDatabase();
  onTestFinished(() => database.drop());
  return database.urls.migrator;
}

function folder(files: Record<string, string>): SmallBook {
  const book = createBook('');
  for (const [file, source] of Object.entries(files)) book.put(file, source);
  return book;
}

const isThere = async (url: string, name: string) =>
  connected(
    url,
    async (client) => (await client.query('select to_regclass($1) is not null as there', [name])).rows[0].there,
  );

test('applies pending files as the owner, tells each, and lists what the database has', async () => {
  const url = await blank();
  const { dir } = folder({
    [FIRST]: migration('create table public.a ();', 'drop table public.a;'),
    [SECOND]: migration('create table public.b ();'),
  });
  const told: string[] = [];
  expect(await migrateUp(url, { dir, onProgress: (message) => told.push(message) })).toEqual([FIRST, SECOND]);
  expect(told).toEqual([`applying ${FIRST}`, `applying ${SECOND}`]);
  expect(await migrateUp(url, { dir })).toEqual([]);
  const owner = await connected(url, async (client) => {
    return (
      await client.query(`select relowner::regrole::text as owner from pg_class where oid = 'public.a'::regclass`)
    ).rows;
  });
  expect(owner).toEqual([{ owner: 'rowhouse_owner' }]);
  expect(await migrateStatus(url, { dir })).toEqual([
    { version: '20250101000000', file: FIRST, applied: true },
    { version: '20250101000001', file: SECOND, applied: true },
  ]);
});

test('lets one of two concurrent runs apply everything; the other waits and finds nothing to do', async () => {
  const url = await blank();
  const { dir } = folder({
    [FIRST]: migration('create table public.a (); select pg_sleep(0.3);'),
    [SECOND]: migration('create table public.b ();'),
  });
  const told: string[] = [];
  const onProgress = (message: string) => told.push(message);
  const runs = await Promise.all([migrateUp(url, { dir, onProgress }), migrateUp(url, { dir, onProgress })]);
  expect(runs.toSorted((a, b) => b.length - a.length)).toEqual([[FIRST, SECOND], []]);
  expect(told).toContain('another migration runs in this database: waiting for it');
});

test('names file, line and PostgreSQL message of a failure, rolls that file back and keeps those before it', async () => {
  const url = await blank();
  const { dir } = folder({
    [FIRST]: migration('create table public.a ();'),
    [SECOND]: migration('create table public.b ();\nselect nope from public.a;'),
    [THIRD]: migration('create table public.c ();'),
  });
  const told: string[] = [];
  await expect(migrateUp(url, { dir, onProgress: (message) => told.push(message) })).rejects.toMatchObject({
    code: 'migration_failed',
    detail: `${SECOND}:4: column "nope" does not exist (42703)`,
  });
  expect(told).toEqual([`applying ${FIRST}`, `applying ${SECOND}`]);
  expect([await isThere(url, 'public.a'), await isThere(url, 'public.b'), await isThere(url, 'public.c')]).toEqual([
    true,
    false,
    false,
  ]);
  expect((await migrateStatus(url, { dir })).map(({ applied }) => applied)).toEqual([true, false, false]);
});

test('names the line of the file when a down half fails', async () => {
  const url = await blank();
  const { dir } = folder({
    [FIRST]: migration('create table public.a ();', 'drop table public.a;\nselect nope;'),
  });
  await migrateUp(url, { dir });
  await expect(migrateDown(url, { dir, steps: 1 })).rejects.toMatchObject({
    code: 'migration_failed',
    detail: `${FIRST}:7: column "nope" does not exist (42703)`,
  });
  expect(await isThere(url, 'public.a')).toBe(true);
});

test('takes back as many as asked, last first', async () => {
  const url = await blank();
  const files = { [FIRST]: migration('select 1;'), [SECOND]: migration('select 1;'), [THIRD]: migration('select 1;') };
  const { dir } = folder(files);
  await migrateUp(url, { dir });
  expect(await migrateDown(url, { dir, steps: 2 })).toEqual([THIRD, SECOND]);
  expect(await migrateDown(url, { dir, steps: 9 })).toEqual([FIRST]);
  expect(await migrateDown(url, { dir, steps: 1 })).toEqual([]);
});

test('refuses to take back a version whose file is gone', async () => {
  const url = await blank();
  const full = folder({ [FIRST]: migration('select 1;'), [SECOND]: migration('select 1;') });
  await migrateUp(url, { dir: full.dir });
  const { dir } = folder({ [FIRST]: migration('select 1;') });
  await expect(migrateDown(url, { dir, steps: 1 })).rejects.toMatchObject({ code: 'migration_invalid' });
  expect(await migrateStatus(url, { dir })).toContainEqual({ version: '20250101000001', file: null, applied: true });
});

test('refuses a file older than one that is applied', async () => {
  const url = await blank();
  const book = folder({ [SECOND]: migration('select 1;') });
  await migrateUp(url, { dir: book.dir });
  book.put(FIRST, migration('create table public.late ();'));
  await expect(migrateUp(url, { dir: book.dir })).rejects.toMatchObject({ code: 'migration_failed' });
  expect(await isThere(url, 'public.late')).toBe(false);
});

test.each([
  [
    'a name that is no version',
    { '2025_first.sql': migration('select 1;') },
    '2025_first.sql: the name is not YYYYMMDDHHMMSS_name.sql',
  ],
  [
    'a version that is no time',
    { '20251399000000_x.sql': migration('select 1;') },
    '20251399000000_x.sql: the name is not YYYYMMDDHHMMSS_name.sql',
  ],
  [
    'two files of one version',
    { [FIRST]: migration('select 1;'), '20250101000000_twin.sql': migration('select 1;') },
    `20250101000000_twin.sql: has the version of ${FIRST}`,
  ],
  ['a hand marker', { [FIRST]: migration('-- hand: decide') }, `${FIRST}: up waits for a person: decide`],
  [
    'an empty down half',
    { [FIRST]: migration('select 1;', '') },
    `${FIRST}: down does nothing and has no comment saying why`,
  ],
  [
    'a wait for locks without end',
    { [FIRST]: '-- migrate:up\nselect 1;\n-- migrate:down\n-- nothing to take back\n' },
    `${FIRST}: up does not start with "set local lock_timeout = '3s';"\n${FIRST}: down does not start with "set local lock_timeout = '3s';"`,
  ],
  [
    'two statements outside a transaction',
    { [FIRST]: '-- migrate:up transaction:false\nselect 1; select 2;\n-- migrate:down transaction:false\nselect 1;' },
    `${FIRST}: up has transaction:false, so it holds exactly one statement`,
  ],
  [
    'a file without a down half',
    { [FIRST]: '-- migrate:up\nselect 1;' },
    `${FIRST} needs one "-- migrate:up" and, after it, one "-- migrate:down"`,
  ],
])('refuses %s before anything runs', async (_, files, detail) => {
  const url = await blank();
  const { dir } = folder({
    ...(files as Record<string, string>),
    '20240101000000_good.sql': migration('create table public.good ();'),
  });
  await expect(migrateUp(url, { dir })).rejects.toMatchObject({ code: 'migration_invalid', detail });
  expect(await isThere(url, 'public.good')).toBe(false);
});

test('refuses a frozen file that was changed or is gone, and freezes new ones', async () => {
  const url = await blank();
  const book = folder({ [FIRST]: migration('select 1;') });
  expect(await freezeMigrations(book.dir)).toEqual([FIRST]);
  expect(await freezeMigrations(book.dir)).toEqual([]);
  book.put(SECOND, migration('select 2;'));
  expect(await freezeMigrations(book.dir)).toEqual([SECOND]);
  book.put(FIRST, migration('select 3;'));
  const refusal = { code: 'migration_invalid', detail: `${FIRST}: is frozen and was changed` };
  await expect(migrateUp(url, { dir: book.dir })).rejects.toMatchObject(refusal);
  await expect(freezeMigrations(book.dir)).rejects.toMatchObject(refusal);
  book.put(FIRST, migration('select 1;'));
  expect(await migrateUp(url, { dir: book.dir })).toEqual([FIRST, SECOND]);
});

test('tells PostgREST to reload its schema cache and its configuration', async () => {
  const url = await blank();
  const { dir } = folder({ [FIRST]: migration('select 1;') });
  const heard = await connected(url, async (listener) => {
    const payloads: (string | undefined)[] = [];
    listener.on('notification', ({ payload }) => payloads.push(payload));
    await listener.query('listen pgrst');
    await migrateUp(url, { dir });
    await expect.poll(() => payloads.length).toBe(2);
    return payloads;
  });
  expect(heard).toEqual(['reload schema', 'reload config']);
});

test('says that the database is unavailable, without its password', async () => {
  const url = new URL(await blank());
  const { password } = url;
  url.port = '1';
  const { dir } = folder({ [FIRST]: migration('select 1;') });
  const failure = await migrateUp(url.href, { dir }).catch((error) => error);
  expect(failure.code).toBe('database_unavailable');
  expect(JSON.stringify([failure, failure.message, failure.cause?.message])).not.toContain(password);
});
