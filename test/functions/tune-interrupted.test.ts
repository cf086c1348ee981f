import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { until as untilTrue } from '../../functions/stack/until.ts';
import { build } from '../../functions/tune/build.ts';
import { tuning } from '../../functions/tune/session.ts';
import { survey } from '../../functions/tune/survey.ts';
import type { TestStack } from '../support/stack.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { catalogueOf, createTuneStack, LARGE, LISTS, startTune, writeLists } from './tune-tenants.ts';

let stack: TestStack;

const until = async (check: () => Promise<boolean>) => expect(await untilTrue(check, { timeoutMs: 50_000 })).toBe(true);

beforeAll(async () => {
  stack = await createTuneStack();
});
afterAll(() => stack?.stop());

/** A build waits for every transaction that was there before it: this one holds it up for as long as `work` takes. */
async function heldUp<T>(work: () => Promise<T>): Promise<T> {
  return connected(stack.database.admin, async (client) => {
    await client.query('begin isolation level repeatable read');
    await client.query('select count(*) from app.jobs where false');
    return work();
  });
}

const building = async () =>
  (
    await stack.admin.query(
      `select from pg_stat_progress_create_index where datname = current_database() and phase ~ 'waiting'`,
    )
  ).rowCount === 1;

const lists = () => ['--requests', writeLists(temporaryDirectory(), LISTS.failed)];
const applying = () => startTune(stack.database.admin, '--apply', '--yes', ...lists());
const recorded = async () => (await stack.admin.query('select status from tune.objects')).rows;

afterEach(async () => {
  expect((await catalogueOf(stack)).indexes).toEqual([]);
  expect(await recorded()).toEqual([]);
});

test.each(['SIGINT', 'SIGTERM'] as const)('%s takes back what is being built', async (signal) => {
  await heldUp(async () => {
    const run = applying();
    await until(building);
    expect(await recorded()).toEqual([{ status: 'building' }]);
    process.kill(run.pid, signal);
    // Dropping the index waits for the same transaction.
    await until(async () => !(await building()));
    return run;
  }).then(async ({ done }) => {
    const { code, printed } = await done;
    expect(code).toBe(1);
    expect(printed.outcomes.find(({ kind }) => kind === 'index')).toMatchObject({
      outcome: 'interrupted',
      detail: 'taken back',
    });
  });
});

test('another run is kept out; and what a killed one leaves is told, and removed by the next', async () => {
  await heldUp(async () => {
    const run = applying();
    await until(building);
    const other = await startTune(stack.database.admin, ...lists()).done;
    expect([other.code, other.printed.code]).toEqual([1, 'conflict']);
    process.kill(run.pid, 'SIGKILL');
    await run.done;
    // The server notices within seconds, though the build still waits.
    await until(async () => !(await building()));
  });
  const { indexes } = await catalogueOf(stack);
  expect(indexes).toEqual([expect.stringMatching(/ invalid$/)]);
  const told = await startTune(stack.database.admin, ...lists()).done;
  expect(told.printed.leftovers).toEqual([`app.${indexes[0]?.replace(' invalid', '')}`]);
  const { code, printed } = await startTune(stack.database.admin, '--prune', '--yes').done;
  expect([code, printed.verdicts.map(({ verdict, reason }) => [verdict, reason])]).toEqual([
    0,
    [['remove', 'its build was interrupted']],
  ]);
});

test('a build for which the quiet hours are too short is taken back', async () => {
  const outcome = await tuning(stack.database.admin, async (client) => {
    const found = await survey(client, { share: 0.05, requests: LISTS.failed, progress: () => {} });
    const served = found.served.find(({ proposal }) => proposal.kind === 'index');
    if (!served) throw new Error('no index is proposed');
    const options = {
      url: stack.database.admin,
      signal: new AbortController().signal,
      leftMs: 500,
      progress: () => {},
    };
    return heldUp(() => build(client, served, options));
  });
  expect(outcome).toMatchObject({ tenant_id: LARGE, outcome: 'late', detail: 'the quiet hours were over: taken back' });
});

test('another login than a superuser may tune that has BYPASSRLS and the four memberships', async () => {
  const role = `dba_${stack.database.admin.split('_').at(-1)}`;
  const database = new URL(stack.database.admin).pathname.slice(1);
  await stack.admin.query(`create role ${role} login bypassrls password 'secret'`);
  try {
    await stack.admin.query(
      `grant connect on database ${database} to ${role}; grant pg_read_all_data, pg_read_all_stats to ${role};
       grant rowhouse_owner, authenticator to ${role} with inherit false, set true`,
    );
    const url = Object.assign(new URL(stack.database.admin), { username: role, password: 'secret' }).href;
    const { code, printed } = await startTune(url, '--apply', '--yes', ...lists()).done;
    expect([code, printed.outcomes.find(({ kind }) => kind === 'index')?.outcome]).toEqual([0, 'built']);
    await stack.admin.query(
      `update tune.objects set created_at = now() - interval '20 days', measured_at = now() + interval '1 hour'`,
    );
    expect((await startTune(url, '--prune', '--yes').done).printed.removed).toBe(true);
  } finally {
    await stack.admin.query(`drop owned by ${role}; drop role ${role}`);
  }
});
