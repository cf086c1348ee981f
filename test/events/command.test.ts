import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { packageRoot } from '../../functions/paths.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
});

afterAll(() => stack?.stop());

const program = [join(packageRoot, 'functions/cli/main.ts'), 'events'];

/** `rowhouse events …`: exit code, and what it printed. */
function events(args: string[], url = stack.database.migrator): Promise<[code: number, printed: string]> {
  return new Promise((resolve) => {
    const env = { ...process.env, DATABASE_URL: url };
    const child = execFile(process.execPath, [...program, ...args], { env }, (_error, stdout, stderr) => {
      resolve([child.exitCode ?? -1, stdout || stderr]);
    });
  });
}

async function json<T>(args: string[], url?: string): Promise<[code: number, value: T]> {
  const [code, printed] = await events([...args, '--json'], url);
  return [code, JSON.parse(printed)];
}

const addFile = (name: string, tenant = 't_acme') =>
  stack.admin.query(
    `insert into app.files (tenant_id, name, content_type, size, created_by) values ($1, $2, 'text/csv', 1, 'test')`,
    [tenant, name],
  );

/** As the worker does: takes everything there is, and moves the cursors. */
const follow = () =>
  connected(stack.database.worker, async (client) => {
    const { rows } = await client.query(`select * from ledger.take('jobs', 16, 1000)`);
    const reached = new Map(rows.map((row) => [row.slot, row.upto_position]));
    await client.query(`select ledger.advance('jobs', $1, $2)`, [[...reached.keys()], [...reached.values()]]);
    return rows.filter(({ position }) => position !== null).map((row) => row.new.name);
  });

beforeEach(async () => {
  await follow();
});

describe('lag', () => {
  test('says how far a consumer is behind', async () => {
    expect(await json(['lag'])).toEqual([
      0,
      expect.arrayContaining([{ consumer: 'jobs', entries_behind: 0, seconds_behind: null, held_back_by: [] }]),
    ]);
    await addFile('a');
    await addFile('b', 't_globex');
    const [, consumers] = await json<{ consumer: string; seconds_behind: number }[]>(['lag']);
    const jobs = consumers.find(({ consumer }) => consumer === 'jobs');
    expect(jobs).toMatchObject({ entries_behind: 2, held_back_by: [] });
    expect(jobs?.seconds_behind).toBeGreaterThan(0);
    const [, printed] = await events(['lag']);
    expect(printed).toMatch(/^consumer +entries behind +for +held back by\n(.*\n)*jobs +2 +\d+\.\d s\n/);
  });

  test('says which transaction holds a consumer back, and to a superuser how old it is', async () => {
    const writer = await stack.admin.connect();
    const { rows } = await writer.query('select pg_backend_pid() as pid');
    await writer.query('begin');
    await writer.query(
      `insert into app.files (tenant_id, name, content_type, size, created_by) values ('t_acme', 'slow', 'text/csv', 1, 'test')`,
    );
    await addFile('waits');
    try {
      const [, slots] = await json<{ consumer: string; held_back_by: number; held_back_seconds: number }[]>(
        ['lag', '--slots'],
        stack.database.admin,
      );
      const held = slots.filter(({ consumer, held_back_by }) => consumer === 'jobs' && held_back_by !== null);
      expect(held).toMatchObject([
        { entries_behind: 1, held_back_by: rows[0].pid, held_back_application: 'test-admin' },
      ]);
      expect(held[0]?.held_back_seconds).toBeGreaterThan(0);
      const [, printed] = await events(['lag'], stack.database.admin);
      expect(printed).toContain(`process ${rows[0].pid} (test-admin), a transaction of `);
    } finally {
      await writer.query('rollback');
      writer.release();
    }
  });
});

describe('tail', () => {
  test('prints the last events of a tenant, each a CloudEvent, and no other tenant’s', async () => {
    await addFile('mine');
    await addFile('theirs', 't_globex');
    const [code, printed] = await events(['tail', '--tenant', 't_acme', '--last', '1', '--once', '--json']);
    expect(code).toBe(0);
    const lines = printed
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { specversion: '1.0', type: 'app.files.inserted', tenantid: 't_acme', data: { new: { name: 'mine' } } },
    ]);
  });

  test('begins after a position, and leaves out other types', async () => {
    const { rows } = await stack.admin.query('select last_value as last from ledger.positions');
    await addFile('one');
    await stack.admin.query(
      `insert into tenancy.members (tenant_id, user_id, role) values ('t_acme', 'new', 'viewer')`,
    );
    await addFile('two');
    const after = ['tail', '--tenant', 't_acme', '--after', `evt_${rows[0].last}`, '--once'];
    const [, all] = await events(after);
    expect(all.trimEnd().split('\n')).toEqual([
      expect.stringContaining('app.files.inserted'),
      expect.stringContaining('tenancy.members.inserted  new'),
      expect.stringContaining('app.files.inserted'),
    ]);
    const [, some] = await events([...after, '--type', '*.members.*', 'order_.*']);
    expect(some.trimEnd().split('\n')).toEqual([expect.stringContaining('tenancy.members.inserted')]);
  });

  test('follows, in order, also what commits late', async () => {
    const child = spawn(
      process.execPath,
      [...program, 'tail', '--tenant', 't_acme', '--type', 'app.files.*', '--json'],
      {
        env: { ...process.env, DATABASE_URL: stack.database.migrator },
      },
    );
    const printed: string[] = [];
    createInterface(child.stdout).on('line', (line) => printed.push(JSON.parse(line).data.new.name));
    try {
      await addFile('begun');
      await expect.poll(() => printed, { timeout: 20_000 }).toContain('begun');
      const writer = await stack.admin.connect();
      await writer.query('begin');
      await writer.query(
        `insert into app.files (tenant_id, name, content_type, size, created_by) values ('t_acme', 'late', 'text/csv', 1, 'test')`,
      );
      await addFile('early');
      await writer.query('commit');
      writer.release();
      await expect
        .poll(() => printed.slice(printed.indexOf('begun')), { timeout: 20_000 })
        .toEqual(['begun', 'late', 'early']);
    } finally {
      const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
      child.kill('SIGINT');
      expect(await ended).toBe(0);
    }
  });

  test('refuses a tenant that is not there', async () => {
    expect(await json(['tail', '--tenant', 't_nobody'])).toMatchObject([1, { code: 'tenant_unknown' }]);
  });
});

describe('replay', () => {
  test('hands a consumer again what came from a position on, once it is approved', async () => {
    const { rows } = await stack.admin.query('select last_value + 1 as first from ledger.positions');
    for (const name of ['x', 'y']) await addFile(name);
    expect(await follow()).toEqual(['x', 'y']);
    const replay = ['replay', '--consumer', 'jobs', '--from', rows[0].first];
    expect(await json([...replay, '--dry-run'])).toMatchObject([0, { consumer: 'jobs', entries: 2, dry_run: true }]);
    expect(await json(replay)).toMatchObject([2, { code: 'usage_invalid' }]);
    expect(await follow()).toEqual([]);
    expect(await json([...replay, '--yes'])).toMatchObject([0, { entries: 2, dry_run: false }]);
    expect(await follow()).toEqual(['x', 'y']);
  });

  test.each([
    ['neither consumer nor endpoint', ['--from', '1'], 'neither --endpoint nor --consumer'],
    ['a consumer that is not there', ['--consumer', 'nobody', '--from', '1', '--yes'], 'no consumer nobody'],
    [
      'a consumer with an end',
      ['--consumer', 'jobs', '--from', '1', '--to', '2', '--yes'],
      '--to and --tenant go with --endpoint',
    ],
    [
      'an endpoint of nobody',
      ['--endpoint', '0199f3c1-7c1e-7000-8000-5a0c7f1d2e3b', '--from', '1'],
      '--endpoint needs --tenant',
    ],
    ['an endpoint whose id is none', ['--endpoint', 'mine', '--tenant', 't_acme', '--from', '1'], 'Write an id'],
    ['a position that is none', ['--consumer', 'jobs', '--from', 'evt'], 'evt_17'],
  ])('refuses %s', async (_what, args, detail) => {
    expect(await json(['replay', ...args])).toMatchObject([
      2,
      { code: 'usage_invalid', detail: expect.stringContaining(detail) },
    ]);
  });

  test('refuses an endpoint that the tenant does not have, and says whose it looked among', async () => {
    const endpoint = '0199f3c1-7c1e-7000-8000-5a0c7f1d2e3b';
    expect(await json(['replay', '--endpoint', endpoint, '--tenant', 't_acme', '--from', '1', '--yes'])).toMatchObject([
      1,
      { code: 'webhook_endpoint_unknown', detail: `t_acme has no webhook endpoint ${endpoint}` },
    ]);
  });
});
