import { randomUUID } from 'node:crypto';
import path from 'node:path';
import pg from 'pg';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type DatabaseProxy, openProxy } from '../../chaos/proxy.ts';
import { findPostgrest } from '../../functions/stack/binaries.ts';
import { type Child, createChild } from '../../functions/stack/child.ts';
import { freePort } from '../../functions/stack/ports.ts';
import { postgrestChild } from '../../functions/stack/postgrest.ts';
import { until } from '../../functions/stack/until.ts';
import { type HttpResponse, http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type SecondEdge, startEdge } from './second-edge.ts';

// PostgREST's connection to the database breaks while a request is carried out.

interface Problem {
  code: string;
  detail: string;
  hint: string | null;
}

let stack: TestStack;
let proxy: DatabaseProxy;
let postgrest: Child;
let postgrestUrl: string;
let edge: SecondEdge;
let holder: pg.Client;
let owner: string;

const POOL = 4;

/** What a COMMIT waits for, by way of a trigger that is deferred to it. */
const COMMIT_LOCK = 4242;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  await stack.createTenant('t_acme');
  owner = await stack.token({ tenant: 't_acme' });
  await stack.admin.query(`
    create function app.wait_in_commit() returns trigger language plpgsql security definer as $$
    begin perform pg_advisory_xact_lock(${COMMIT_LOCK}); return null; end $$;
    create constraint trigger wait_in_commit after insert on app.files deferrable initially deferred
      for each row execute function app.wait_in_commit()`);
  holder = new pg.Client({ connectionString: stack.database.admin });
  await holder.connect();

  proxy = await openProxy(stack.database.authenticator);
  const port = await freePort();
  postgrestUrl = `http://127.0.0.1:${port}`;
  const spec = postgrestChild({
    binary: findPostgrest(process.env.POSTGREST_BIN),
    configuration: path.join(path.dirname(stack.storageDirectory), 'by-proxy.conf'),
    port,
    adminPort: await freePort(),
    databaseUrl: proxy.url,
    poolSize: POOL,
  });
  postgrest = createChild(spec, { log: pino({ level: 'silent' }), restart: false, onLine: () => {} });
  await postgrest.start();
  const { storageDirectory, storageSecret, database } = stack;
  edge = await startEdge({ storageDirectory, storageSecret, database, postgrest: postgrestUrl });
});

afterEach(async () => {
  await holder.query('rollback');
  await holder.query('select pg_advisory_unlock_all()');
  // Having lost its connections, PostgREST reads the schema again before it answers, and finds out about each connection by itself.
  const all = () => Promise.all(Array.from({ length: 2 * POOL }, async () => (await readFiles()).status));
  await expect
    .poll(async () => new Set([...(await all()), ...(await all())]), { timeout: 10_000 })
    .toEqual(new Set([200]));
});

afterAll(async () => {
  await edge?.stop();
  await postgrest?.stop();
  await proxy?.close();
  await holder?.end();
  await stack?.stop();
});

const readFiles = () => http<Problem>(`${edge.url}/v1/files?name=neq.${randomUUID()}&select=status`, { token: owner });

/** The process of PostgREST's that has come to wait for the lock. */
async function waiting(): Promise<{ pid: number; query: string }> {
  let found: { pid: number; query: string } | undefined;
  const came = await until(
    async () => {
      const { rows } = await stack.admin.query<{ pid: number; query: string }>(
        `select pid, query from pg_stat_activity
         where usename = 'authenticator' and datname = current_database() and wait_event_type = 'Lock'`,
      );
      found = rows[0];
      return found !== undefined;
    },
    { timeoutMs: 10_000 },
  );
  if (!came || !found) throw new Error('no request waits for a lock');
  return found;
}

const terminate = (pid: number) => stack.admin.query('select pg_terminate_backend($1)', [pid]);

const addFile = (api: string, name: string, key: string = randomUUID()) =>
  http<Problem>(`${api}/files`, {
    token: owner,
    headers: { 'idempotency-key': key },
    body: { name, content_type: 'text/csv', size: 1 },
  });

const stored = async (name: string) =>
  Number((await stack.admin.query('select count(*) from app.files where name = $1', [name])).rows[0]?.count);

function expectRetryable({ status, headers, body }: HttpResponse<Problem>): void {
  expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'database_unavailable', '1']);
}

function expectUnknown(answer: HttpResponse<Problem>): void {
  expectRetryable(answer);
  expect(answer.body.detail).toMatch(/not known whether the request was carried out/);
  expect(answer.body.hint).toMatch(/Idempotency-Key/);
}

describe('in a statement:', () => {
  test('a read that waits is answered when the lock is gone', async () => {
    await holder.query('begin; lock table app.files');
    const reading = readFiles();
    await waiting();
    await holder.query('rollback');
    expect(await reading).toMatchObject({ status: 200, body: [] });
  });

  test.each([
    ['ended by the server', async (pid: number) => void (await terminate(pid))],
    ['cut', async () => proxy.cut()],
  ])('a read whose connection is %s may be repeated', async (_how, breakOff) => {
    await holder.query('begin; lock table app.files');
    const reading = readFiles();
    const { pid } = await waiting();
    await breakOff(pid);
    expectRetryable(await reading);
  });

  test('a write whose connection is ended did nothing, and is carried out when it is repeated', async () => {
    const key = randomUUID();
    await holder.query('begin; lock table app.files');
    const writing = addFile(`${edge.url}/v1`, 'ended.csv', key);
    await terminate((await waiting()).pid);
    expectRetryable(await writing);
    await holder.query('rollback');
    await expect
      .poll(async () => (await addFile(`${edge.url}/v1`, 'ended.csv', key)).status, { timeout: 10_000 })
      .toBe(201);
    expect(await stored('ended.csv')).toBe(1);
  });
});

describe('in COMMIT:', () => {
  test('a write that waits is answered when the lock is gone', async () => {
    await holder.query('select pg_advisory_lock($1)', [COMMIT_LOCK]);
    const writing = addFile(`${edge.url}/v1`, 'normal.csv');
    expect((await waiting()).query).toBe('COMMIT');
    await holder.query('select pg_advisory_unlock_all()');
    expect((await writing).status).toBe(201);
  });

  test('what the server ends is not known to have been carried out', async () => {
    await holder.query('select pg_advisory_lock($1)', [COMMIT_LOCK]);
    const writing = addFile(`${edge.url}/v1`, 'terminated.csv');
    await terminate((await waiting()).pid);
    expectUnknown(await writing);
  });

  test('PostgREST calls a connection that breaks without a word a bad request, without a code', async () => {
    await holder.query('select pg_advisory_lock($1)', [COMMIT_LOCK]);
    const writing = addFile(postgrestUrl, 'direct.csv');
    await waiting();
    proxy.cut();
    expect(await writing).toMatchObject({ status: 400, body: { code: '' } });
  });

  test('the edge says that it is not known, and what was carried out is not carried out again', async () => {
    const key = randomUUID();
    await holder.query('select pg_advisory_lock($1)', [COMMIT_LOCK]);
    const writing = addFile(`${edge.url}/v1`, 'cut.csv', key);
    await waiting();
    proxy.cut();
    expectUnknown(await writing);
    expect(edge.lines.filter((line) => line.includes('PostgREST answered with an error')).join()).toMatch(
      /"upstream":\{"status":400,"code":""/,
    );
    expect(await stored('cut.csv')).toBe(0);
    // The server has not seen the client go: it commits.
    await holder.query('select pg_advisory_unlock_all()');
    await expect.poll(() => stored('cut.csv')).toBe(1);
    await expect
      .poll(async () => (await addFile(`${edge.url}/v1`, 'cut.csv', key)).body.code, { timeout: 10_000 })
      .toBe('idempotency_answer_lost');
    expect(await stored('cut.csv')).toBe(1);
  });
});
