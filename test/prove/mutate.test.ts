import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { withTemporaryServer } from '../../functions/diff/server.ts';
import { type Change, diffWalls, readWall } from '../../functions/diff/wall.ts';
import { migrateUp } from '../../functions/migrate/dbmate.ts';
import { packageRoot } from '../../functions/paths.ts';
import { openCommitted } from '../../functions/prove/mutate/committed.ts';
import { generateMutants } from '../../functions/prove/mutate/generate.ts';
import { mutationTable, survivorsOf } from '../../functions/prove/mutate/report.ts';
import { mutate } from '../../functions/prove/mutate/run.ts';
import { withScratch } from '../../functions/prove/mutate/scratch.ts';
import type { Mutant } from '../../functions/prove/mutate/types.ts';
import { seedOf } from '../../functions/prove/random.ts';
import { rules } from '../../functions/prove/rules/index.ts';
import { createDatabase, prepareDatabase } from '../../functions/stack/install.ts';
import { type DatabaseUrls, databaseUrls } from '../../functions/stack/secrets.ts';
import { DBA_TABLE, DBA_TYPES, protectDbaTables } from './dba-tables.ts';

const SEED = 7;
/** The machine may be doing other things. */
const PATIENCE = 300_000;

function rowhouse(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [join(packageRoot, 'functions/cli/main.ts'), 'prove', '--mutate', ...args]);
  const text = { out: '', err: '' };
  child.stdout.on('data', (chunk) => {
    text.out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    text.err += chunk;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...text })));
}

const drawn = (mutants: readonly Mutant[], count: number) =>
  mutants
    .toSorted((left, right) => seedOf(SEED, left.element, left.how) - seedOf(SEED, right.element, right.how))
    .slice(0, count);

/** Runs `work` with a database built from the migrations, and more, on a server of its own. */
const withDatabase = (
  more: string,
  work: (urls: DatabaseUrls, options: { database: string; sessions: string[] }) => Promise<void>,
) =>
  withTemporaryServer(async (admin, passwords) => {
    const urls = databaseUrls(passwords, Number(new URL(admin).port), 'dba');
    await createDatabase(admin, 'dba');
    await prepareDatabase(urls.admin);
    await migrateUp(urls.migrator);
    await connected(urls.migrator, (client) => client.query(more));
    await work(urls, { database: urls.admin, sessions: [urls.migrator, urls.authenticator, urls.worker, urls.edge] });
  });

describe('the command', () => {
  test(
    'ends with 0 where every mutant of a sample was noticed, and prints the figures as JSON',
    async () => {
      const { code, out, err } = await rowhouse('--sample', '40', '--seed', '3', '--json');
      expect([code, err]).toEqual([0, '']);
      const report = JSON.parse(out);
      expect(report).toMatchObject({ mutants: 40, killed: 40, survivors: [], seed: 3 });
      expect(Object.keys(report.byClass).length).toBeGreaterThan(4);
      expect(report.excluded.every(({ reason }: { reason: string }) => reason.length > 20)).toBe(true);
    },
    PATIENCE,
  );

  test(
    'says which classes there are where a name fits none, and ends with 2',
    async () => {
      const { code, err } = await rowhouse('--only', 'nothing of this name', '--json');
      expect([code, JSON.parse(err)]).toMatchObject([
        2,
        { code: 'usage_invalid', hint: expect.stringContaining('policy') },
      ]);
    },
    PATIENCE,
  );

  test('refuses a database of which it has not every login', async () => {
    const { code, err } = await rowhouse('--database', 'postgres://postgres@127.0.0.1:1/x', '--json');
    expect([code, JSON.parse(err)]).toMatchObject([
      2,
      { code: 'usage_invalid', detail: expect.stringContaining('authenticator, worker, edge, migrator') },
    ]);
  });
});

describe('what nothing looks for', () => {
  test(
    'survives, and is told with the SQL that makes it: a trigger without its rules',
    async () => {
      const about = rules.filter(({ about }) => /guard_job|app\.jobs/.test(about)).map(({ title }) => title);
      const without = { rules: about, committed: true };
      const report = await mutate({ seed: SEED, only: 'guard_job on app.jobs', without });
      expect(survivorsOf(report)).toMatchObject([
        {
          class: 'trigger',
          element: 'guard_job on app.jobs',
          how: 'dropped',
          sql: 'drop trigger guard_job on app.jobs',
        },
      ]);
      expect(mutationTable(report)).toMatch(/^ {4}drop trigger guard_job on app\.jobs$/m);
    },
    PATIENCE,
  );

  test(
    'survives, over HTTP as well: a default privilege without its lint',
    async () => {
      const only = 'tables of rowhouse_sealer';
      const report = await mutate({
        seed: SEED,
        only,
        sample: 1,
        without: { lints: ['0031_default_privileges_open'] },
      });
      expect(survivorsOf(report)).toMatchObject([
        { element: only, sql: expect.stringMatching(/^alter default privileges for role rowhouse_sealer grant /) },
      ]);
    },
    PATIENCE,
  );
});

test(
  'where the copy leaks as it is, the prover would stop there: of what is alive yet it is told that nobody looked over HTTP',
  async () => {
    const leak =
      'create view v1.open as select * from app.files; grant select on v1.open to tenant_user; alter table app.files no force row level security';
    await withDatabase(leak, async (_, options) => {
      const only = 'tables of rowhouse_sealer';
      const without = { lints: ['0031_default_privileges_open'] };
      const report = await mutate({ seed: SEED, ...options, only, sample: 1, without });
      const why =
        /^it could not be proved over HTTP: The copy leaks as it is: leak: v1\.open · .+ Run: rowhouse prove --quick --seed 7$/s;
      expect(survivorsOf(report)).toMatchObject([{ element: only, why: expect.stringMatching(why) }]);
    });
  },
  PATIENCE,
);

test(
  'a schema that is not ours is covered with no change, and stays as it was',
  async () => {
    const invoices = `${DBA_TYPES}; ${DBA_TABLE.invoices}; ${protectDbaTables(['invoices'])}`;
    await withDatabase(invoices, async (urls, options) => {
      const before = await connected(urls.admin, readWall);

      const { judged, excluded } = await mutate({ seed: SEED, ...options, only: 'invoices' });
      const alive = judged
        .filter(({ death }) => !death)
        .map(({ mutant, why }) => `${mutant.element}: ${mutant.how} ${why ?? ''}`);
      expect(alive).toEqual([]);
      const classes = [...new Set(judged.map(({ mutant }) => mutant.class))].toSorted();
      expect(classes).toEqual([
        'column grant',
        'constraint',
        'owner',
        'policy',
        'row security',
        'table grant',
        'trigger',
        'view option',
      ]);
      expect(judged.length).toBeGreaterThan(70);
      expect(excluded.map(({ element }) => element)).toContain('invoices_number_form on app.invoices');

      expect(diffWalls(before, await connected(urls.admin, readWall))).toEqual<Change[]>([]);
      const { rows } = await connected(urls.admin, (client) =>
        client.query(`select datname from pg_database where datname like 'rowhouse_mutate%'`),
      );
      expect(rows).toEqual([]);
    });
  },
  PATIENCE,
);

test(
  'each mutant changes the wall, its undo takes it back, and what kills one in a transaction kills it committed',
  async () => {
    await withScratch({}, async (server) => {
      const { mutants } = await connected(server.pristine.admin, generateMutants);
      expect(mutants.length).toBeGreaterThan(150);
      expect(new Set(mutants.map(({ sql }) => sql)).size).toBe(mutants.length);
      const urls = await server.copy();
      // The wall has no partitions' triggers of its own.
      const some = drawn(
        mutants.filter(({ undo, element }) => undo !== null && !/_p\d+$/.test(element)),
        12,
      );
      const before = await connected(urls.admin, readWall);
      for (const { element, how, sql, undo } of some) {
        await connected(urls.admin, (client) => client.query(sql));
        const changed = diffWalls(before, await connected(urls.admin, readWall));
        await connected(urls.admin, (client) => client.query(undo ?? ''));
        expect([`${element}: ${how}`, changed.length > 0]).toEqual([`${element}: ${how}`, true]);
        expect([`${element}: ${how}`, diffWalls(before, await connected(urls.admin, readWall))]).toEqual([
          `${element}: ${how}`,
          [],
        ]);
      }

      const committed = await openCommitted(await server.copy(), SEED);
      const seals = mutants.find(
        ({ element, how }) => element === 'function auth.enter(text)' && how.includes('one transaction, one context'),
      );
      const status = mutants.find(
        ({ element, how }) => element === 'v1.jobs.status' && how === 'update to tenant_user',
      );
      for (const mutant of [seals, status]) {
        expect(await committed.judge(mutant as Mutant)).toMatchObject({ by: 'prove' });
      }
    });
  },
  PATIENCE,
);
