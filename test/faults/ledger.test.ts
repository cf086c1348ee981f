import pg from 'pg';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { takeRound } from '../../functions/worker/ledger.ts';
import { openQueue } from '../../functions/worker/queue.ts';
import { handOver } from '../../functions/worker/submissions.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';

// Followers of the ledger that die, and transactions that stay open. Nothing is lost, nothing is handed over twice, nothing bloats.

let stack: TestStack;
const workers: TestWorker[] = [];

beforeEach(async () => {
  stack = await createTestStack({ postgrest: false });
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  await stack.admin.query(`insert into tenancy.job_types (type, description) values ('test.steps', 'test')`);
});

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.stop()));
  await stack?.stop();
});

async function started(options: Parameters<typeof testWorker>[1] = {}): Promise<TestWorker> {
  const worker = testWorker(stack, options);
  workers.push(worker);
  await worker.start();
  return worker;
}

const submit = (client: pg.Pool | pg.PoolClient, tenant: string, count: number) =>
  client.query(
    `insert into app.jobs (tenant_id, type, input, created_by)
     select $1, 'test.steps', '{"steps": 1, "step_ms": 0}', 'test' from generate_series(1, $2)`,
    [tenant, count],
  );

async function one<T>(sql: string, ...values: unknown[]): Promise<T> {
  const { rows } = await stack.admin.query(sql, values);
  return rows[0] as T;
}

const waiting = async (tenant: string): Promise<number> =>
  (
    await one<{ n: number }>(
      `select count(*)::int as n from app.jobs where tenant_id = $1 and not exists (
         select from pgboss.job where data ->> 'job_id' = jobs.id::text)`,
      tenant,
    )
  ).n;

/** How often each job was put into the queue. */
const handOvers = () =>
  one<{ jobs: number; least: number; most: number }>(
    `select count(*)::int as jobs, min(n)::int as least, max(n)::int as most from (
       select (select count(*) from pgboss.job where data ->> 'job_id' = jobs.id::text) as n from app.jobs) as counted`,
  );

/** Row versions that vacuum would remove if nobody could see them, but for one mark of each consumer in a minute, and the pages of the cursors. */
const remains = () =>
  one<{ dead: number; cursor_bytes: number }>(
    `select (select sum(n_dead_tup)::int from pg_stat_all_tables where schemaname = 'ledger' and relname <> 'consumers') as dead,
       (select sum(pg_relation_size(oid))::int from pg_class where relname ~ '^cursor_jobs_') as cursor_bytes`,
  );

describe('a transaction that stays open', { timeout: 120_000 }, () => {
  test('keeps no row version of the ledger and its cursors, holds back its own slot alone, and all is handed over when it ends', async () => {
    const worker = await started({ env: { WORKER_LAG_SECONDS: '1' } });
    const slots = await one<{ apart: boolean }>(`select ledger.slot('t_acme') <> ledger.slot('t_globex') as apart`);
    expect(slots.apart).toBe(true);
    const before = await remains();
    expect(before.cursor_bytes).toBe(16 * 8192);

    const open = await stack.admin.connect();
    await open.query('begin isolation level repeatable read');
    await submit(open, 't_acme', 1);
    const { rows } = await open.query('select pg_backend_pid() as pid, count(*) from ledger.entries');
    // Each of these is a round of the dispatcher, which once was 16 dead versions of cursors.
    for (let round = 0; round < 40; round += 1) {
      await submit(stack.admin, 't_globex', 1);
      await submit(stack.admin, 't_acme', 1);
      expect(await until(async () => (await waiting('t_globex')) === 0, { timeoutMs: 10_000 })).toBe(true);
    }
    expect(await waiting('t_acme')).toBe(40);
    const lag = await one(
      `select entries_behind >= 40 as counted, seconds_behind > 0 as aged, held_back_by as pid
       from ledger.lag() where consumer = 'jobs' and slot = ledger.slot('t_acme')`,
    );
    expect(lag).toEqual({ counted: true, aged: true, pid: rows[0].pid });
    expect(await worker.logged('the ledger is not followed', `"held_back_by":[${rows[0].pid}]`)).toBe(true);
    await stack.admin.query('select pg_stat_force_next_flush()');
    expect(await remains()).toEqual(before);

    await open.query('commit');
    open.release();
    expect(await until(async () => (await waiting('t_acme')) === 0, { timeoutMs: 10_000 })).toBe(true);
    expect(await handOvers()).toEqual({ jobs: 81, least: 1, most: 1 });
    expect(await worker.logged('the ledger is followed again', 'jobs')).toBe(true);
  });
});

describe('a database that was restored from a dump', { timeout: 120_000 }, () => {
  test('is recognised by the first worker, and what its cursors are past but nobody was handed is handed over', async () => {
    // The rows of a moment at which these waited, and sequences of a later one, at which they had been handed over.
    await submit(stack.admin, 't_acme', 3);
    await stack.admin.query(
      `select setval(ledger.cursor('jobs', slot), last_value) from generate_series(0, 15) as slot, ledger.positions`,
    );
    const { last } = await one<{ last: string }>('select last_value as last from ledger.positions');
    await stack.admin.query('update ledger.consumers set consumer = consumer');
    const worker = await started();
    expect(await until(async () => (await waiting('t_acme')) === 0, { timeoutMs: 10_000 })).toBe(true);
    expect(await handOvers()).toEqual({ jobs: 3, least: 1, most: 1 });
    expect(await worker.logged('the database was restored or failed over', '"consumer":"jobs"')).toBe(true);
    await submit(stack.admin, 't_acme', 1);
    const { first } = await one<{ first: string }>(
      `select min(position) as first from ledger.entries where position > $1`,
      last,
    );
    expect(Number(first)).toBeGreaterThan(Number(last) + 1_000_000_000);
    expect(await until(async () => (await waiting('t_acme')) === 0, { timeoutMs: 10_000 })).toBe(true);
  });
});

describe('a worker that dies', { timeout: 120_000 }, () => {
  test('between committing what it handed over and moving the cursors leaves nothing to do twice', async () => {
    const queue = await openQueue({
      connectionString: stack.database.worker,
      types: new Map(),
      slots: 1,
      tierLimits: {},
      log: pino({ level: 'silent' }),
    });
    await submit(stack.admin, 't_acme', 20);
    await submit(stack.admin, 't_globex', 20);
    await stack.admin.query(
      `with gone as (insert into app.files (tenant_id, name, content_type, size, created_by) values ('t_acme', 'x', 'text/csv', 1, 'test') returning id)
       select from gone`,
    );
    await stack.admin.query(`delete from app.files`);
    try {
      for (let life = 0; life < 3; life += 1) {
        const dying = new pg.Client(stack.database.worker);
        await dying.connect();
        const round = await takeRound(dying, 'jobs', (client, entries) => handOver(queue, client, entries));
        expect(round.entries).toBe(42);
        await dying.end();
      }
    } finally {
      await queue.stop(0, () => {});
    }
    expect(await handOvers()).toEqual({ jobs: 40, least: 1, most: 1 });
    expect(await one(`select count(*)::int as purges from pgboss.job where name = 'storage.purge'`)).toEqual({
      purges: 1,
    });

    await started();
    const done = async () =>
      (await one<{ n: number }>(`select count(*)::int as n from app.jobs where status = 'succeeded'`)).n === 40;
    expect(await until(done, { timeoutMs: 60_000 })).toBe(true);
    expect(await one('select max(attempts) as attempts from app.jobs')).toEqual({ attempts: 1 });
    expect(await handOvers()).toEqual({ jobs: 40, least: 1, most: 1 });
  });

  test('again and again, beside another, while jobs are submitted: each is handed over once', async () => {
    await started();
    let mortal = await started();
    let submitted = 0;
    for (let life = 0; life < 5; life += 1) {
      const writing = (async () => {
        for (let batch = 0; batch < 30; batch += 1) {
          await submit(stack.admin, batch % 2 === 0 ? 't_acme' : 't_globex', 3);
          submitted += 3;
        }
      })();
      await mortal.kill();
      await writing;
      workers.splice(workers.indexOf(mortal), 1);
      mortal = await started();
    }
    const none = async () => (await waiting('t_acme')) + (await waiting('t_globex')) === 0;
    expect(await until(none, { timeoutMs: 30_000 })).toBe(true);
    expect(await handOvers()).toEqual({ jobs: submitted, least: 1, most: 1 });
  });

  test('in a backlog leaves it to another: a neighbour’s job does not wait for it, and each is handed over once', async () => {
    const { id } = await one<{ id: string }>(
      `select 't_next_' || n as id from generate_series(1, 200) as n where ledger.slot('t_next_' || n) = ledger.slot('t_acme') limit 1`,
    );
    await stack.createTenant(id);
    // Of a type that no worker here runs: they stay in its queue.
    await stack.admin.query(`insert into tenancy.job_types (type, description) values ('test.nobody', 'test')`);
    const queueUp = (tenant: string, jobs: number) =>
      stack.admin.query(
        `insert into app.jobs (tenant_id, type, input, created_by) select $1, 'test.nobody', '{}', 'test' from generate_series(1, $2::int)`,
        [tenant, jobs],
      );
    const handed = (tenant: string) =>
      one<{ messages: number; jobs: number }>(
        `select count(*)::int as messages, count(distinct data ->> 'job_id')::int as jobs
         from pgboss.job where name = 'job.test.nobody' and data ->> 'tenant_id' = $1`,
        tenant,
      );
    const reaches = (tenant: string, jobs: number, timeoutMs: number) =>
      until(async () => (await handed(tenant)).jobs >= jobs, { timeoutMs, intervalMs: 5 });

    await queueUp('t_acme', 30_000);
    for (let life = 1; life <= 3; life += 1) {
      const worker = await started();
      expect(await reaches('t_acme', (await handed('t_acme')).jobs + 1, 20_000)).toBe(true);
      await queueUp(id, 1);
      expect(await reaches(id, life, 20_000)).toBe(true);
      if (life === 1) expect((await handed('t_acme')).jobs).toBeLessThan(30_000);
      await worker.kill();
      workers.splice(workers.indexOf(worker), 1);
    }
    await started();
    expect(await reaches('t_acme', 30_000, 60_000)).toBe(true);
    expect(await handed('t_acme')).toEqual({ messages: 30_000, jobs: 30_000 });
    expect(await handed(id)).toEqual({ messages: 3, jobs: 3 });
  });
});
