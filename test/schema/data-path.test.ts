import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { asTenant, createPool } from '../../functions/database.ts';
import { migrateDown, migrateStatus, migrateUp } from '../../functions/migrate/dbmate.ts';
import { listMigrations, migrationsDir } from '../../functions/migrate/files.ts';
import { type BlankDatabase, createBlankDatabase } from '../support/blank-database.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** The migrations of the data path on a database in use: what was narrowed there stays so, and who reads and writes does not wait. */

const DATA_PATH = '20261121133915_data_path.sql';
/** Of those after it, the ones that look at rows. */
const SCANS = {
  '20261121134100_data_path_index.sql': 'app.files',
  '20261121134200_data_path_slots.sql': null,
  '20261121134300_tenant_id_form.sql': 'everything',
} as const;

let database: BlankDatabase;
let files: string[];
let dir: string;

beforeAll(async () => {
  database = await createBlankDatabase();
  files = await listMigrations();
});

afterAll(() => database?.drop());

/** Up or down to where `last` is the last that is applied. */
async function goTo(last: string): Promise<void> {
  const url = database.urls.migrator;
  const wanted = files.slice(0, files.indexOf(last) + 1);
  for (const file of files) copyFileSync(join(migrationsDir, file), join(dir, file));
  const applied = (await migrateStatus(url, { dir })).filter((migration) => migration.applied);
  const steps = applied.length - wanted.length;
  if (steps > 0) await migrateDown(url, { dir, steps });
  for (const file of files.slice(wanted.length)) rmSync(join(dir, file));
  await migrateUp(url, { dir });
}
const before = (file: string) => files[files.indexOf(file) - 1] ?? '';
const newest = () => files.at(-1) ?? '';

beforeEach(() => {
  dir = temporaryDirectory();
});

const OWN = '(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()';
const NARROWED = {
  'A writer adds rows to their tenant': ['app.files', 'with check', `name <> 'No  Such'`, 'member'],
  'A writer deletes rows of their tenant': ['app.jobs', 'using', `status <> 'queued'`, 'member'],
  'A writer changes rows of their tenant': ['tenancy.members', 'with check', `user_id <> 'Root'`, 'admin'],
  'A member reads the rows of their tenant': ['auth.api_keys', 'using', `name <> 'Secret'`, 'viewer'],
} as const;

test('what was narrowed in a database stays narrowed, down and up again', async () => {
  await goTo(before(DATA_PATH));
  const admin = new pg.Client(database.urls.admin);
  await admin.connect();
  try {
    for (const [name, [table, clause, condition, role]] of Object.entries(NARROWED)) {
      await admin.query(
        `alter policy "${name}" on ${table} ${clause} (${OWN} and (select request.has_tenant_role('${role}')) and ${condition})`,
      );
    }
    const literals = ['No  Such', 'queued', 'Root', 'Secret'];
    const narrowed = async () => {
      const { rows } = await admin.query<{ found: string }>(
        `select concat_ws(' ', polrelid::regclass, polname, literal) as found from pg_policy
         cross join unnest($1::text[]) as literal
         where strpos(concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)), quote_literal(literal)) > 0
           and polname ~ '^A (writer|member) ' order by 1`,
        [literals],
      );
      return rows.map(({ found }) => found);
    };
    const asked = Object.entries(NARROWED)
      .map(([name, [table]], index) => `${table} ${name} ${literals[index]}`)
      .sort();
    expect(await narrowed()).toEqual(asked);
    for (const step of [newest(), before(DATA_PATH), newest()]) {
      await goTo(step);
      expect(await narrowed(), step).toEqual(asked);
    }

    await admin.query(`select tenancy.create_tenant('t_acme', 'acme', 'Acme', 'ada')`);
    const { rows } = await admin.query(`select auth.issue_token('t_acme', 'ada', 'owner') as token`);
    const edge = createPool(database.urls.edge, 'test-edge', 1);
    const run = (sql: string) => asTenant(edge, rows[0].token, 'tenant_user', (client) => client.query(sql));
    const add = (name: string) =>
      run(`insert into v1.files (name, content_type, size) values ('${name}', 'text/csv', 3)`);
    try {
      await add('no such');
      await expect(add('No  Such')).rejects.toMatchObject({ code: 'permission_denied' });
      await run(`insert into v1.members (user_id, role) values ('bob', 'member')`);
      await run(`update v1.members set user_id = 'root' where user_id = 'bob'`);
      await expect(run(`update v1.members set user_id = 'Root' where user_id = 'root'`)).rejects.toMatchObject({
        code: 'permission_denied',
      });
    } finally {
      await edge.end();
    }
    // And what nobody narrowed is what protect() makes now.
    for (const table of ['app.job_findings', 'auth.api_key_uses']) {
      const role = table === 'auth.api_key_uses' ? `read_role => 'admin', write_role => 'owner'` : `expose => true`;
      await admin.query(
        `begin; set local role rowhouse_owner; select tenancy.protect('${table}', ledger => false, client_verbs => '{}', ${role}); rollback`,
      );
    }
  } finally {
    await admin.end();
  }
}, 120_000);

test('no reader waits for the migrations that look at rows, and no writer for the one that looks at the ledger', async () => {
  await goTo(DATA_PATH);
  const admin = new pg.Client(database.urls.admin);
  await admin.connect();
  try {
    for (const [file, stopped] of Object.entries(SCANS)) {
      expect(before(file) === DATA_PATH || before(file) in SCANS, `${file} follows`).toBe(true);
      const held = async (mode: string) => {
        await admin.query(`begin; lock table app.files, tenancy.members, ledger.entries in ${mode} mode`);
        try {
          return await goTo(file).then(
            () => 'done',
            ({ detail }: { detail: string }) => /lock timeout/.exec(detail)?.[0] ?? detail,
          );
        } finally {
          await admin.query('rollback');
        }
      };
      // As an open transaction that has read, or has written.
      expect(await held('row exclusive'), `${file} beside a writer`).toBe(stopped ? 'lock timeout' : 'done');
      expect(await held('access share'), `${file} beside a reader`).toBe('done');
    }
    const { rows } = await admin.query(`select conname from pg_constraint where not convalidated`);
    expect(rows).toEqual([]);
  } finally {
    await admin.end();
  }
}, 120_000);
