import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createPool, type Pool } from '../../functions/database.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// Consumers of the ledger: who is given what, and when again.

let stack: TestStack;
let worker: Pool;
const sessions: pg.PoolClient[] = [];
let consumers = 0;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  worker = createPool(stack.database.worker, 'test-worker');
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
});

afterAll(async () => {
  await worker?.end();
  await stack?.stop();
});

/** A consumer of its own for each test, so that none has what another left. */
let consumer: string;
beforeEach(async () => {
  consumers += 1;
  consumer = `test_${consumers}`;
});

afterEach(() => {
  for (const client of sessions.splice(0)) client.release(true);
});

const add = (tables: string[] | null = null, startAt: number | string | null = null) =>
  stack.migrator.query('select ledger.add_consumer($1, $2, $3)', [consumer, tables, startAt]);

async function session(): Promise<pg.PoolClient> {
  const client = await worker.connect();
  client.on('error', () => {}); // a test may end it
  sessions.push(client);
  return client;
}

interface Taken {
  slot: number;
  upto_position: string;
  position: string | null;
  tenant_id: string;
  table_name: string;
  new: { name?: string };
}

const take = async (client: pg.PoolClient, slots = 16, entries = 1000): Promise<Taken[]> =>
  (await client.query<Taken>('select * from ledger.take($1, $2, $3)', [consumer, slots, entries])).rows;

const names = (rows: Taken[]) => rows.filter(({ position }) => position !== null).map((row) => row.new?.name);

async function advance(client: pg.PoolClient, rows: Taken[]): Promise<void> {
  const reached = new Map(rows.map(({ slot, upto_position }) => [slot, upto_position]));
  await client.query('select ledger.advance($1, $2, $3)', [consumer, [...reached.keys()], [...reached.values()]]);
}

/** Written and committed. */
async function write(name: string, tenant = 't_acme'): Promise<void> {
  await stack.admin.query(
    `insert into app.files (tenant_id, name, content_type, size, created_by) values ($1, $2, 'text/csv', 1, 'test')`,
    [tenant, name],
  );
}

const drawn = async (): Promise<string> =>
  (await stack.admin.query('select last_value from ledger.positions')).rows[0].last_value;
const lag = async () =>
  (
    await stack.migrator.query(
      `select slot, entries_behind::int as entries, seconds_behind::float8 as seconds, held_back_by, prepared, handed_by
       from ledger.lag() where consumer = $1 and slot = ledger.slot('t_acme')`,
      [consumer],
    )
  ).rows[0];

describe('a batch', () => {
  test('that was committed by a worker that then died is handed over again, in order', async () => {
    await add();
    const first = await session();
    for (const name of ['a', 'b', 'c']) await write(name);
    const taken = await take(first);
    expect(names(taken)).toEqual(['a', 'b', 'c']);
    const { rows } = await first.query('select pg_backend_pid() as pid');
    await stack.admin.query('select pg_terminate_backend($1)', [rows[0].pid]);

    const second = await session();
    await expect.poll(async () => names(await take(second))).toEqual(['a', 'b', 'c']);
  });

  test('that was advanced past is not, and what comes after it is', async () => {
    await add();
    const client = await session();
    await write('a');
    await advance(client, await take(client));
    await write('b');
    expect(names(await take(client))).toEqual(['b']);
  });

  test('has no more entries of a slot than asked for, and the next one begins where it ended', async () => {
    await add();
    const client = await session();
    const { rows: tenants } = await stack.admin.query<{ id: string }>(
      `select 't_slot_' || n as id from generate_series(1, 200) as n where ledger.slot('t_slot_' || n) = ledger.slot('t_acme') limit 8`,
    );
    for (const { id } of tenants) await stack.createTenant(id);
    await advance(client, await take(client));
    for (const [nth, { id }] of tenants.entries()) await write(`of ${nth}`, id);
    const batches = [];
    for (let round = 0; round < 3; round += 1) {
      const taken = await take(client, 16, 5);
      batches.push(names(taken));
      await advance(client, taken);
    }
    expect(batches).toEqual([['of 0', 'of 1', 'of 2', 'of 3', 'of 4'], ['of 5', 'of 6', 'of 7'], []]);
  });

  test('has as many of its tables as asked for, however many of others lie between', async () => {
    await add(['app.files']);
    const client = await session();
    const others = (count: number) =>
      stack.admin.query(
        `insert into app.jobs (tenant_id, type, input, created_by) select 't_acme', 'test.idle', '{}', 'test' from generate_series(1, $1::int)`,
        [count],
      );
    await stack.admin.query(
      `insert into tenancy.job_types (type, description) values ('test.idle', 'test') on conflict do nothing`,
    );
    // 20 × 3 entries are looked at in a round.
    await write('a');
    await others(30);
    await write('b');
    await write('c');
    await others(100);
    await write('d');
    const batches = [];
    for (let round = 0; round < 4; round += 1) {
      const taken = await take(client, 16, 3);
      batches.push(names(taken));
      await advance(client, taken);
    }
    expect(batches).toEqual([['a', 'b', 'c'], [], ['d'], []]);
  });

  test('leaves out what is of other tables, and moves past it', async () => {
    await add(['app.jobs']);
    const client = await session();
    await write('a file');
    const taken = await take(client);
    expect(names(taken)).toEqual([]);
    await advance(client, taken);
    expect(await take(client)).toEqual([]);
  });
});

describe('two workers', () => {
  test('are not given the same slot at once, and share the others', async () => {
    await add();
    const [one, other] = [await session(), await session()];
    await write('acme 1');
    await write('globex 1', 't_globex');
    const first = await take(one, 1);
    const second = await take(other);
    expect(new Set(first.map(({ slot }) => slot)).isDisjointFrom(new Set(second.map(({ slot }) => slot)))).toBe(true);
    expect([...names(first), ...names(second)].toSorted()).toEqual(['acme 1', 'globex 1']);
    expect(second).toHaveLength(15);
    await write('acme 2');
    await advance(one, first);
    await advance(other, second);
    expect(names(await take(other))).toEqual(['acme 2']);
  });

  test('cannot move each other’s cursors', async () => {
    await add();
    const [one, other] = [await session(), await session()];
    await write('a');
    const taken = await take(one);
    await expect(advance(other, taken)).rejects.toMatchObject({ code: '55P03' });
    await advance(one, taken);
    expect(names(await take(other))).toEqual([]);
  });
});

describe('a cursor', () => {
  test('moves neither back nor past the last position that was drawn', async () => {
    await add();
    const client = await session();
    await write('a');
    await advance(client, await take(client));
    await write('b');
    for (const position of ['0', '9000000000']) {
      const taken = await take(client);
      expect(names(taken)).toEqual(['b']);
      await advance(
        client,
        taken.map((row) => ({ ...row, upto_position: position })),
      );
    }
    expect(names(await take(client))).toEqual(['b']);
  });

  test('is not moved by whoever has not taken its slot', async () => {
    await add();
    const [one, other] = [await session(), await session()];
    await write('a');
    const taken = await take(one);
    await one.query('select ledger.release($1)', [consumer]);
    await expect(advance(other, taken)).rejects.toMatchObject({ code: '55P03' });
  });

  test('is moved back by ledger.rewind() alone, which hands everything after a position over again', async () => {
    await add();
    const client = await session();
    const before = await drawn();
    for (const name of ['a', 'b']) await write(name);
    await advance(client, await take(client));
    expect(names(await take(client))).toEqual([]);
    const { rows } = await stack.migrator.query('select ledger.rewind($1, $2) as slots', [consumer, before]);
    expect(rows).toEqual([{ slots: 16 }]);
    expect(names(await take(client))).toEqual(['a', 'b']);
    await expect(worker.query('select ledger.rewind($1, $2)', [consumer, 0])).rejects.toMatchObject({ code: '42501' });
    await expect(stack.migrator.query(`select ledger.rewind('nobody', 0)`)).rejects.toMatchObject({ code: 'P0002' });
  });

  test('is nobody’s to move directly', async () => {
    await add();
    for (const pool of [worker, stack.migrator]) {
      await expect(pool.query(`select setval('ledger.cursor_${consumer}_00', 1)`)).rejects.toMatchObject({
        code: '42501',
      });
    }
  });
});

describe('marks', () => {
  const keepMarks = async () => (await worker.query('select * from ledger.keep_marks() order by consumer')).rows;
  const marks = async () =>
    (await stack.admin.query('select marks::bigint[], marked_at from ledger.consumers where consumer = $1', [consumer]))
      .rows[0];
  const cursors = async () => (await stack.admin.query('select ledger.cursors($1) as at', [consumer])).rows[0].at;
  /** As if a minute had passed since they were made, written by the one who says so. */
  const age = (by = 'pg_current_xact_id()::xid') =>
    stack.admin.query(
      `update ledger.consumers set marked_at = marked_at - '1 minute'::interval, marked_by = ${by} where consumer = $1`,
      [consumer],
    );

  test('are kept where the cursors are, at most once a minute, and not while nothing moves', async () => {
    await add();
    const client = await session();
    expect((await marks()).marks).toEqual(await cursors());
    await write('a');
    await advance(client, await take(client));
    const before = await marks();
    expect(await keepMarks()).toEqual([]);
    expect(await marks()).toEqual(before);
    await age();
    expect(await keepMarks()).toEqual([]);
    expect((await marks()).marks).toEqual(await cursors());
    expect(await cursors()).not.toEqual(before.marks);
    await age();
    const { marked_at } = await marks();
    await keepMarks();
    expect((await marks()).marked_at).toEqual(marked_at);
  });

  test.each([
    ['from a dump, whose cursors are of a later moment than its rows', 'marked_by = marked_by'],
    ['to another server', `marked_on = '1/00000001', marked_by = pg_current_xact_id()::xid`],
    ['to another timeline, as by a failover', `marked_on = marked_on || '0', marked_by = pg_current_xact_id()::xid`],
  ])('are where a consumer goes on after a restore %s, and no position is drawn twice', async (_, restored) => {
    await add();
    const client = await session();
    await write('a');
    await advance(client, await take(client));
    await age();
    await keepMarks();
    const at = await cursors();
    for (const name of ['b', 'c']) await write(name);
    await advance(client, await take(client));
    expect(names(await take(client))).toEqual([]);
    const last = BigInt(await drawn());

    await stack.admin.query(`update ledger.consumers set ${restored} where consumer = $1`, [consumer]);
    expect(await keepMarks()).toContainEqual({ consumer, finding: 'restored', slots: 16 });
    expect(await cursors()).toEqual(at);
    expect(names(await take(client))).toEqual(['b', 'c']);
    await client.query('select ledger.release($1)', [consumer]);
    expect(BigInt(await drawn())).toBe(last + 1_000_000_000n);
    await write('d');
    const taken = await take(client);
    expect(names(taken)).toEqual(['b', 'c', 'd']);
    await advance(client, taken);
    expect(await keepMarks()).toEqual([]);
  });

  test('are still those of this database after a savepoint, a vacuum and a rewind', async () => {
    const client = await stack.migrator.connect();
    await client.query('begin; savepoint inner_one');
    await client.query('select ledger.add_consumer($1)', [consumer]);
    await client.query('release inner_one; commit');
    client.release();
    expect(await keepMarks()).toEqual([]);
    await stack.admin.query('vacuum (full, freeze) ledger.consumers');
    await stack.migrator.query('select ledger.rewind($1, 3)', [consumer]);
    expect((await marks()).marks).toEqual(Array(16).fill('3'));
    expect(await keepMarks()).toEqual([]);
  });

  test('are where cursors go that are above the last position drawn, which lag tells of', async () => {
    await add();
    const client = await session();
    await write('a');
    const slot = (await stack.admin.query(`select ledger.slot('t_acme')::int as slot`)).rows[0].slot;
    await stack.admin.query('select setval(ledger.cursor($1, $2), 9000000000000)', [consumer, slot]);
    expect(names(await take(client))).toEqual([]);
    await client.query('select ledger.release($1)', [consumer]);
    expect(await lag()).toMatchObject({ entries: 1 });
    expect((await lag()).seconds).toBeGreaterThan(0);
    expect(await keepMarks()).toEqual([{ consumer, finding: 'ahead', slots: 1 }]);
    expect(names(await take(client))).toEqual(['a']);
  });
});

describe('a new consumer', () => {
  test('gets what commits from now on, or everything after a position', async () => {
    await write('before');
    const here = await drawn();
    await write('between');
    await add();
    await write('after');
    const client = await session();
    expect(names(await take(client))).toEqual(['after']);

    consumer = `${consumer}_earlier`;
    await add(['app.files'], here);
    expect(names(await take(client))).toEqual(['between', 'after']);
  });

  test('that is made while a transaction is writing gets what that commits', async () => {
    const writer = await stack.admin.connect();
    await writer.query('begin');
    await writer.query(
      `insert into app.files (tenant_id, name, content_type, size, created_by) values ('t_acme', 'late', 'text/csv', 1, 'test')`,
    );
    await add();
    await writer.query('commit');
    writer.release();
    expect(names(await take(await session()))).toContain('late');
  });
});

test('lag says how many entries wait since when, and which unfinished transaction holds them back', async () => {
  await add();
  await write('a');
  expect(await lag()).toMatchObject({ entries: 1, held_back_by: null, handed_by: null });
  const client = await session();
  const taken = await take(client);
  const { rows } = await client.query('select pg_backend_pid() as pid');
  expect(await lag()).toMatchObject({ entries: 1, handed_by: rows[0].pid });
  await advance(client, taken);
  expect(await lag()).toMatchObject({ entries: 0, seconds: null, handed_by: null });

  const writer = await stack.admin.connect();
  const pid = (await writer.query('select pg_backend_pid() as pid')).rows[0].pid;
  await writer.query('begin');
  await writer.query(
    `insert into app.files (tenant_id, name, content_type, size, created_by) values ('t_acme', 'slow', 'text/csv', 1, 'test')`,
  );
  for (const name of ['b', 'c']) await write(name);
  expect(names(await take(client))).toEqual([]);
  const held = await lag();
  expect(held).toMatchObject({ entries: 2, held_back_by: pid });
  expect(held.seconds).toBeGreaterThan(0);
  await writer.query('commit');
  writer.release();
  expect(names(await take(client))).toEqual(['slow', 'b', 'c']);
});

test('lag names the prepared transaction that holds entries back, which has no process', async () => {
  await add();
  const gid = `held ${consumer}`;
  const writer = await stack.admin.connect();
  await writer.query('begin');
  await writer.query(
    `insert into app.files (tenant_id, name, content_type, size, created_by) values ('t_acme', 'prepared', 'text/csv', 1, 'test')`,
  );
  await writer.query(`prepare transaction '${gid}'`);
  writer.release();
  await write('behind it');
  const client = await session();
  expect(names(await take(client))).toEqual([]);
  expect(await lag()).toMatchObject({ entries: 1, held_back_by: null, prepared: gid });
  await stack.admin.query(`commit prepared '${gid}'`);
  expect(await lag()).toMatchObject({ entries: 2, held_back_by: null, prepared: null });
  expect(names(await take(client))).toEqual(['prepared', 'behind it']);
});

describe('the consumer of webhooks, while no worker has had a key,', () => {
  const behind = async () =>
    (await stack.migrator.query(`select sum(entries_behind)::int as n from ledger.lag() where consumer = 'webhooks'`))
      .rows[0].n;
  const skip = () => worker.query('select webhook.skip_entries()');

  test('is not behind, and passes no writer by', async () => {
    await write('a');
    expect(await behind()).toBeGreaterThan(0);
    await skip();
    expect(await behind()).toBe(0);
    const writer = await stack.admin.connect();
    await writer.query('begin');
    await writer.query(
      `insert into app.files (tenant_id, name, content_type, size, created_by) values ('t_acme', 'late', 'text/csv', 1, 'test')`,
    );
    await write('b');
    await skip();
    await writer.query('commit');
    writer.release();
    expect(await behind()).toBe(2);
    await skip();
    expect(await behind()).toBe(0);
  });

  test('stays where it is from then on', async () => {
    await worker.query(`select webhook.register_sender('0123456789abcdef', 'no key', false)`);
    await write('c');
    await skip();
    expect(await behind()).toBe(1);
  });
});
