import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { readLints } from '../../functions/doctor/lints.ts';
import { examine } from '../../functions/doctor/run.ts';
import type { Measurement, Proposal } from '../../functions/tune/types.ts';
import { http } from '../support/http.ts';
import type { TestStack } from '../support/stack.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import {
  catalogueOf,
  createTuneStack,
  LARGE,
  LISTS,
  type Printed,
  SMALL,
  startTune,
  writeLists,
} from './tune-tenants.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTuneStack({});
  await stack.admin.query('create extension pg_stat_statements schema extensions');
});
afterAll(() => stack?.stop());

const tune = (...args: string[]) => startTune(stack.database.admin, ...args).done;
const lists = (...some: string[]) => ['--requests', writeLists(temporaryDirectory(), ...some)];

/** How the tenant's list of failed jobs is planned in a session as PostgREST's are, and whose rows it sees at all. */
async function planned(tenant: string): Promise<{ plan: string; failed: number; tenants: string[]; rows: number }> {
  const token = await stack.token({ tenant });
  return connected(stack.database.authenticator, async (client) => {
    await client.query('begin');
    await client.query(`select auth.enter($1), set_config('role', 'tenant_user', true)`, [token]);
    const list = 'select tenant_id from v1.jobs where status = $1 order by created_at desc limit $2 offset $3';
    await client.query(`prepare list as ${list}`);
    const plan = await client.query<{ 'QUERY PLAN': string }>(`explain execute list('failed', 20, 0)`);
    const failed = await client.query(`execute list('failed', 20, 0)`);
    const { rows } = await client.query<{ tenants: string[]; rows: number }>(
      'select array_agg(distinct tenant_id::text) as tenants, count(*)::integer as rows from v1.jobs',
    );
    const seen = rows[0] ?? { tenants: [], rows: 0 };
    return { plan: plan.rows.map((row) => row['QUERY PLAN']).join('\n'), failed: failed.rows.length, ...seen };
  });
}

function proposed(printed: Printed, test: (proposal: Proposal) => boolean): Proposal {
  const found = printed.proposals.find(test);
  if (!found) throw new Error(`not among what is proposed: ${JSON.stringify(printed)}`);
  return found;
}

/** Builds one, and gives what was measured of it before and after. */
async function built(id: string, ...args: string[]): Promise<{ before: Measurement; after: Measurement }> {
  const { code, printed } = await tune('--apply', '--yes', '--only', id, ...args);
  const [outcome] = printed.outcomes;
  expect([code, printed.outcomes.length, outcome?.outcome]).toEqual([0, 1, 'built']);
  const [before] = outcome?.before ?? [];
  const [after] = outcome?.after ?? [];
  if (!before || !after) throw new Error('nothing was measured');
  return { before, after };
}

describe('what is proposed', () => {
  test('finds the tenant that skews from statistics, and no other', async () => {
    const { code, printed } = await tune();
    expect(code).toBe(0);
    const found = printed.tenants.map((one) => [one.tenant_id, one.table]);
    expect(found.toSorted()).toEqual([
      [LARGE, 'app.files'],
      [LARGE, 'app.jobs'],
    ]);
    const { rows } = await stack.admin.query(
      `select tableoid::regclass::text as partition from app.jobs where tenant_id = $1 limit 1`,
      [LARGE],
    );
    const jobs = printed.tenants.find((one) => one.table === 'app.jobs');
    expect(jobs).toMatchObject({
      partition: rows[0].partition,
      rows: 30_000,
      share: expect.closeTo(30_000 / 30_600, 3),
    });
  });

  test('proposes an index of the partition that a plan without values takes, and not one for the tenant alone', async () => {
    const before = await catalogueOf(stack);
    const { printed } = await tune(...lists(LISTS.failed, LISTS.unfinished));
    const definitions = printed.proposals.map((one) => one.definition).join('\n');
    expect(definitions).toMatch(
      /^create index concurrently jobs_p\d\d_tune_\w+ on app\.jobs_p\d\d \(tenant_id, "status", "created_at" desc\)$/m,
    );
    expect(definitions).toMatch(/\(tenant_id\) where "finished_at" is null$/m);
    expect(definitions).not.toContain(`tenant_id = '${LARGE}'`);
    const rejected = printed.rejected.filter(({ definition }) => definition.includes(`where tenant_id = '${LARGE}'`));
    expect(rejected.length).toBeGreaterThan(0);
    for (const { reason } of rejected) expect(reason).toContain('cannot use it');
    expect(await catalogueOf(stack)).toEqual(before);
  });

  test('proposes nothing for lists that have what they need', async () => {
    const whole = '/v1/jobs?select=id&created_by=gte.a';
    const { printed } = await tune(
      ...lists('/v1/jobs?order=created_at.desc&limit=20', '/v1/jobs?select=id&limit=5', whole),
    );
    expect(printed.proposals.filter(({ kind }) => kind !== 'pool')).toEqual([]);
  });

  test('reads what PostgREST has sent from pg_stat_statements, and counts what it cannot read', async () => {
    const token = await stack.token({ tenant: LARGE });
    for (const list of [LISTS.failed, '/v1/jobs?or=(status.eq.failed,attempts.gt.3)&limit=1'])
      expect((await http(stack.postgrest + list.replace('/v1', ''), { token })).status).toBe(200);
    const { printed } = await tune();
    expect(printed.statements).toMatchObject({ source: 'pg_stat_statements', read: 1, unread: 1 });
    expect(printed.proposals[0]?.reason).toMatch(
      /^\/v1\/jobs\?status=eq\.…&order=created_at\.desc&limit=… reads .* 1 calls$/,
    );
    expect(printed.usages[0]).toMatchObject({ tenant_id: LARGE, time: expect.any(Number) });
  });

  test('writes no value of a tenant down', async () => {
    const { printed } = await tune(...lists(LISTS.named));
    expect(printed.proposals.length).toBeGreaterThan(0);
    expect(JSON.stringify(printed)).not.toMatch(/name7|text\/x7|u7/);
  });
});

describe('what is built', () => {
  test('is built after approval alone, and only what was named', async () => {
    const refused = await tune('--apply', ...lists(LISTS.failed));
    expect([refused.code, refused.printed.code]).toEqual([2, 'usage_invalid']);
    const unknown = await tune('--apply', '--yes', '--only', 'index-00000000', ...lists(LISTS.failed));
    expect([unknown.code, unknown.printed.detail]).toEqual([2, 'not proposed: index-00000000']);
    expect((await catalogueOf(stack)).indexes).toEqual([]);
  });

  test('is recorded with what it changed, serves the tenant, and changes nothing for others', async () => {
    const [large, small] = [await planned(LARGE), await planned(SMALL)];
    const { printed } = await tune(...lists(LISTS.failed, LISTS.unfinished));
    const { id, object } = proposed(printed, ({ definition }) => definition.includes('"status"'));
    const { before, after } = await built(id, ...lists(LISTS.failed, LISTS.unfinished));
    expect(after.blocks).toBeLessThan(before.blocks / 2);
    const name = object.replace('app.', '');
    expect((await catalogueOf(stack)).indexes).toEqual([name]);
    expect(large).toMatchObject({
      plan: expect.not.stringContaining(name),
      failed: 20,
      tenants: [LARGE],
      rows: 30_000,
    });
    expect(await planned(LARGE)).toEqual({ ...large, plan: expect.stringContaining(name) });
    expect(small).toMatchObject({ failed: 0, tenants: [SMALL], rows: 50 });
    expect(await planned(SMALL)).toEqual({ ...small, plan: expect.any(String) });
    const again = await tune(...lists(LISTS.failed));
    expect(again.printed.proposals.filter(({ kind }) => kind === 'index')).toEqual([]);
    expect(again.printed.made).toMatchObject([{ id, tenant_id: LARGE, object, status: 'built', valid: true }]);
  });

  test('improves estimates with statistics of the columns that depend on each other', async () => {
    const { statistics } = await catalogueOf(stack);
    const { printed } = await tune(...lists(LISTS.named));
    const { before, after } = await built(
      proposed(printed, ({ kind }) => kind === 'statistics').id,
      ...lists(LISTS.named),
    );
    const missing = ({ matching = 0, estimated = 0 }: Measurement) => matching / estimated;
    expect(missing(before)).toBeGreaterThan(10);
    expect(missing(after)).toBeLessThan(missing(before) / 2);
    expect((await catalogueOf(stack)).statistics).toBe(statistics + 1);
  });

  test('raises the target of a column of which too few rows were sampled', async () => {
    const { targets } = await catalogueOf(stack);
    const database = new URL(stack.database.admin).pathname.slice(1);
    await stack.admin.query(`alter database ${database} set default_statistics_target = 1`);
    await connected(stack.database.admin, (client) => client.query('analyze app.jobs (created_by)'));
    const { printed } = await tune(...lists(LISTS.own));
    const { id, definition } = proposed(printed, ({ kind }) => kind === 'target');
    expect(definition).toMatch(/^alter table app\.jobs_p\d\d alter column "created_by" set statistics 1000$/);
    const { before, after } = await built(id, ...lists(LISTS.own));
    expect(before.estimated).toBeGreaterThan(20);
    expect(after.estimated).toBeLessThan(5);
    expect(after.matching).toBe(2);
    expect((await catalogueOf(stack)).targets).toBe(targets + 1);
    await stack.admin.query(`alter database ${database} reset default_statistics_target`);
  });

  test('assigns a dedicated pool that serves nobody, and leaves one that does not exist to people', async () => {
    const byHand = proposed((await tune()).printed, ({ kind }) => kind === 'pool');
    const definition = `rowhouse pool add large http://HOST:PORT --tenant ${LARGE}`;
    expect(byHand).toMatchObject({ manual: true, definition });
    const left = await tune('--apply', '--yes', '--only', byHand.id);
    expect([left.code, left.printed.outcomes]).toEqual([0, [expect.objectContaining({ outcome: 'manual' })]]);
    await stack.migrator.query(
      `insert into tenancy.pools (name, url, kind) values ('big', 'http://10.0.0.7:3000', 'dedicated')`,
    );
    const { printed } = await tune('--apply', '--yes', '--only', byHand.id);
    expect(printed.outcomes).toMatchObject([{ object: 'big', outcome: 'built' }]);
    const { rows } = await stack.admin.query('select tenant_id, pool from tenancy.tenant_settings');
    expect(rows).toEqual([{ tenant_id: LARGE, pool: 'big' }]);
  });

  test('leaves doctor with nothing to say', async () => {
    expect(readLints().length).toBeGreaterThan(90);
    const { findings } = await connected(stack.database.migrator, async (client) => {
      await client.query('begin read only');
      return examine(client);
    });
    expect(findings.filter(({ level }) => level !== 'info')).toEqual([]);
  });
});

describe('what is removed', () => {
  const verdicts = async (...args: string[]) => {
    const { code, printed } = await tune('--prune', ...args);
    return { code, found: printed.verdicts?.map(({ kind, verdict, reason }) => [kind, verdict, reason]) };
  };
  const age = (days: number, kind: string) =>
    stack.admin.query(
      `update tune.objects set created_at = now() - $1 * interval '1 day', measured_at = now() - $1 * interval '1 day' where kind = $2`,
      [days, kind],
    );

  test('nothing that is young', async () => {
    expect(await verdicts()).toEqual({
      code: 0,
      found: [
        ['index', 'keep', 'it is 0 days old'],
        ['statistics', 'keep', 'it is 0 days old'],
        ['target', 'keep', 'it is 0 days old'],
        ['pool', 'keep', 'it is 0 days old'],
      ],
    });
  });

  test('no index that was used, and no statistics of a tenant that is still large', async () => {
    await planned(LARGE);
    for (const kind of ['index', 'statistics', 'target', 'pool']) await age(20, kind);
    expect((await verdicts()).found).toEqual([
      ['index', 'keep', 'last used 0 days ago'],
      ['statistics', 'keep', 'the tenant is as large as it was'],
      ['target', 'keep', 'the tenant is as large as it was'],
      ['pool', 'keep', 'the tenant is as large as it was'],
    ]);
  });

  test('an index that was not used since it was measured, and what was made for a tenant that is gone', async () => {
    await stack.admin.query(`update tune.objects set measured_at = now() + interval '1 hour' where kind = 'index'`);
    const asked = await tune('--prune');
    expect([asked.code, asked.printed.code]).toEqual([2, 'usage_invalid']);
    const { code, printed } = await tune('--prune', '--yes');
    expect([code, printed.removed]).toEqual([0, true]);
    expect(printed.verdicts.map(({ kind, verdict, reason }) => [kind, verdict, reason])).toEqual([
      ['index', 'remove', 'not used for 14 days'],
      ['statistics', 'keep', 'the tenant is as large as it was'],
      ['target', 'keep', 'the tenant is as large as it was'],
      ['pool', 'keep', 'the tenant is as large as it was'],
    ]);
    expect(await catalogueOf(stack)).toMatchObject({ indexes: [], statistics: 1 });
    await stack.admin.query('delete from tenancy.tenants where id = $1', [LARGE]);
    expect((await verdicts('--yes')).found).toEqual([
      ['statistics', 'remove', 'the tenant is gone'],
      ['target', 'remove', 'the tenant is gone'],
      ['pool', 'forget', 'it is no longer there'],
    ]);
    expect(await catalogueOf(stack)).toMatchObject({ indexes: [], statistics: 0, targets: 0 });
    expect((await stack.admin.query('select from tune.objects')).rowCount).toBe(0);
  });
});

test('refuses a login from which PostgreSQL hides statistics, and says which to use', async () => {
  const { code, printed } = await startTune(stack.database.migrator).done;
  expect([code, printed.code]).toEqual([1, 'permission_denied']);
  expect(printed.hint).toContain('BYPASSRLS');
});
