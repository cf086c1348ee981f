import { copyFileSync, cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { asTenant, connected, createPool } from '../../functions/database.ts';
import { applyBook, readBook } from '../../functions/migrate/book.ts';
import { diffCatalogues, readCatalogue } from '../../functions/migrate/catalogue.ts';
import { checkMigrations } from '../../functions/migrate/check.ts';
import { migrateDown, migrateUp } from '../../functions/migrate/dbmate.ts';
import { listMigrations, migrationsDir } from '../../functions/migrate/files.ts';
import { newMigration } from '../../functions/migrate/new.ts';
import { packageRoot } from '../../functions/paths.ts';
import { type BlankDatabase, createBlankDatabase } from '../support/blank-database.ts';
import { temporaryDirectory } from '../support/temporary.ts';

let built: BlankDatabase;
let replayed: BlankDatabase;
const catalogue = (database: BlankDatabase) => connected(database.urls.migrator, readCatalogue);

beforeAll(async () => {
  [built, replayed] = await Promise.all([createBlankDatabase(), createBlankDatabase()]);
  const objects = await readBook();
  await connected(built.urls.migrator, (client) => applyBook(client, objects));
});

afterAll(async () => {
  await built?.drop();
  await replayed?.drop();
});

test('are in order: names, versions, hand markers, frozen files', async () => {
  expect(await checkMigrations()).toEqual(await listMigrations());
});

test('leave nothing of the book to compose', async () => {
  // In a copy, so that a failure writes nothing into the repository.
  const dir = temporaryDirectory();
  cpSync(migrationsDir, dir, { recursive: true });
  const written = await newMigration('missing', { dir });
  expect(written.flatMap(({ changes }) => changes.map(({ step, key }) => `${step} ${key}`))).toEqual([]);
});

/** Two tenants, each with a file and a job that its owner submitted, so ledger and directory hold something, too. */
async function fill(database: BlankDatabase): Promise<void> {
  await connected(database.urls.migrator, (client) =>
    client.query(readFileSync(join(packageRoot, 'db/seed.sql'), 'utf8')),
  );
  const migrator = createPool(database.urls.migrator, 'test-migrator', 1);
  const edge = createPool(database.urls.edge, 'test-edge', 1);
  try {
    for (const [tenant, owner] of [
      ['t_acme', 'ada'],
      ['t_globex', 'grace'],
    ]) {
      const { rows } = await migrator.query(`select auth.issue_token($1, $2, 'owner') as token`, [tenant, owner]);
      await asTenant(edge, rows[0].token, 'tenant_user', async (client) => {
        await client.query(`insert into v1.files (name, content_type, size) values ('a.csv', 'text/csv', 3)`);
        await client.query(`insert into v1.jobs (type, input) values ('csv.validate', '{}')`);
      });
    }
  } finally {
    await Promise.all([migrator.end(), edge.end()]);
  }
  const entries = await connected(database.urls.admin, (client) =>
    client.query('select count(*)::int from ledger.entries'),
  );
  expect(entries.rows[0].count).toBeGreaterThan(4);
}

test('go up, down and up again one by one, with data, to the same catalogue at each step', async () => {
  const dir = temporaryDirectory();
  const url = replayed.urls.migrator;
  const steps = [await catalogue(replayed)];
  const files = await listMigrations();
  for (const file of files) {
    copyFileSync(join(migrationsDir, file), join(dir, file));
    expect(await migrateUp(url, { dir })).toEqual([file]);
    steps.push(await catalogue(replayed));
  }

  await fill(replayed);

  for (const [index, file] of [...files.entries()].toReversed()) {
    expect(await migrateDown(url, { dir, steps: 1 })).toEqual([file]);
    expect(diffCatalogues(steps[index] ?? [], await catalogue(replayed)), `down ${file}`).toEqual([]);
  }
  expect(await migrateUp(url, { dir })).toEqual(files);
  expect(diffCatalogues(steps.at(-1) ?? [], await catalogue(replayed))).toEqual([]);
}, 120_000);

test('build the same catalogue as the book', async () => {
  await migrateUp(replayed.urls.migrator);
  const book = await catalogue(built);
  expect(book.length).toBeGreaterThan(1000);
  expect(diffCatalogues(book, await catalogue(replayed))).toEqual([]);
}, 60_000);

test.each([
  ['a grant', 'grant select on app.jobs to anon', '+ grant on table app.jobs to anon select'],
  ['a column grant', 'grant select (id) on app.files to anon', '+ grant on column app.files.id to anon select'],
  ['a grant on a partition', 'grant insert on app.jobs_p00 to anon', '+ grant on table app.jobs_p00 to anon insert'],
  ['a schema grant', 'grant usage on schema ledger to anon', '+ grant on schema ledger to anon usage'],
  [
    'default privileges',
    'alter default privileges in schema v1 grant select on tables to anon',
    '+ default privileges of rowhouse_owner in v1 on r anon=r/rowhouse_owner',
  ],
  [
    'a policy',
    'create policy "Open" on app.jobs using (true)',
    '+ policy "Open" on app.jobs permissive for * to public using true with check',
  ],
  ['a comment', `comment on schema admin is 'x'`, `+ comment on schema admin is 'x'`],
  [
    'an index',
    'create index extra on tenancy.tenants (region)',
    '+ CREATE INDEX extra ON tenancy.tenants USING btree (region)',
  ],
  [
    'a constraint',
    'alter table tenancy.tenants add constraint extra check (true)',
    '+ constraint extra on tenancy.tenants CHECK (true)',
  ],
  [
    'a column default',
    `alter table tenancy.tenants alter region set default 'x'`,
    `+ column tenancy.tenants.region text not null collate "C" default 'x'::text storage x`,
  ],
  ['an owner', 'alter schema admin owner to rowhouse_sealer', '+ owner of schema admin is rowhouse_sealer'],
  [
    'an event trigger',
    `create event trigger extra on ddl_command_end execute function public.noticed()`,
    '+ event trigger extra ddl_command_end public.noticed O',
  ],
])('differ from the book by %s that only one of them has', async (_, statement, row) => {
  const changed = await connected(built.urls.admin, async (client) => {
    await client.query('begin; set local role rowhouse_owner');
    if (statement.includes('event trigger')) {
      await client.query(
        `reset role; create function public.noticed() returns event_trigger language plpgsql as 'begin end'`,
      );
    } else if (statement.includes('owner to')) await client.query('reset role');
    await client.query(statement);
    // Reading ends the transaction and with it the change.
    return readCatalogue(client);
  });
  expect(diffCatalogues(await catalogue(built), changed)).toContain(row);
});

test.each([
  ['row-level security', 'alter table app.jobs no force row level security', 'table app.jobs '],
  [
    'a function attribute',
    'alter function tenancy.touch() security definer',
    'CREATE OR REPLACE FUNCTION tenancy.touch()',
  ],
  [
    'a disabled trigger',
    'alter table tenancy.members disable trigger touch',
    'CREATE TRIGGER touch BEFORE UPDATE ON tenancy.members ',
  ],
  ['a view option', 'alter view v1.jobs reset (security_invoker)', 'view v1.jobs '],
])('differ from the book by %s that was changed', async (_, statement, start) => {
  const changed = await connected(built.urls.migrator, async (client) => {
    await client.query(`begin; ${statement}`);
    return readCatalogue(client);
  });
  const difference = diffCatalogues(await catalogue(built), changed);
  expect(difference.map((line) => line.slice(0, start.length + 2))).toEqual([`- ${start}`, `+ ${start}`]);
});
