import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';

// PostgREST's connections keep one generic plan for each statement: it has to read no more than a page, of whatever tenant.

let stack: TestStack;
let client: pg.PoolClient;

const ENTRIES = 60_000;
const PAGE = 50;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  // Every fourth is globex's; one in ten thousand is of a rare type.
  await stack.admin.query(
    `insert into ledger.entries (tenant_id, slot, table_name, operation, row_id, changed, old, new, occurred_at)
     select tenant, ledger.slot(tenant),
       case when i % 10000 = 7 then 'tenancy.members' else (array['app.jobs', 'app.files', 'auth.api_keys'])[1 + i * 7 % 11 % 3] end,
       (array['insert', 'update', 'delete'])[1 + i * 5 % 13 % 3], 'row ' || i % 5000, '{status}', '{"status": "a"}', '{"status": "b"}',
       clock_timestamp() + i * interval '1 second' -- later than what the tenants were made with: times rise with positions
     from generate_series(1, $1::int) as i
     cross join lateral (select case when i % 4 = 0 then 't_globex' else 't_acme' end) as owner (tenant)`,
    [ENTRIES],
  );
  await stack.admin.query('vacuum analyze ledger.entries');
  client = await stack.admin.connect();
  await client.query(`set plan_cache_mode = force_generic_plan; begin`);
  await client.query('select auth.enter($1)', [await stack.token({ tenant: 't_acme', role: 'viewer' })]);
  await client.query('set local role tenant_user');
});

afterAll(async () => {
  client?.release(true);
  await stack?.stop();
});

interface Node {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: Node[];
}

const below = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(below)];

/** How the entries were read, and how many of them. */
async function read(condition: string, order: string, values: unknown[]): Promise<[how: string, entries: number]> {
  const name = `page_${condition.replaceAll(/\W+/g, '_')}_${order.replaceAll(/\W+/g, '_')}`.slice(0, 60);
  const types = values.map((value) =>
    typeof value === 'number' ? 'bigint' : value instanceof Date ? 'timestamptz' : 'text',
  );
  await client.query(
    `prepare "${name}" (${[...types, 'bigint'].join(', ')}) as
     select "position", event from v1.events ${condition} order by ${order} limit $${values.length + 1}`,
  );
  const literals = values.map((value) =>
    client.escapeLiteral(value instanceof Date ? value.toISOString() : String(value)),
  );
  const { rows } = await client.query(
    `explain (analyze, costs off, timing off, format json) execute "${name}" (${[...literals, PAGE].join(', ')})`,
  );
  const scans = below(rows[0]['QUERY PLAN'][0].Plan).filter((node) => node['Relation Name']?.startsWith('entries_p'));
  expect(scans).toHaveLength(1);
  const [scan] = scans as [Node];
  const index = (scan['Index Name'] ?? scan['Node Type']).replace(/^entries_p\d+_/, '');
  return [index, scan['Actual Rows'] * scan['Actual Loops'] + (scan['Rows Removed by Filter'] ?? 0)];
}

test.each<[string, string, string, unknown[], string, number]>([
  ['the newest', '', 'position desc', [], 'pkey', PAGE],
  ['those before another', 'where position < $1', 'position desc', [ENTRIES / 2], 'pkey', PAGE],
  ['those after another', 'where position > $1', 'position', [ENTRIES / 2], 'pkey', PAGE],
])('reads no more than a page of %s', async (_what, condition, order, values, index, most) => {
  const [how, entries] = await read(condition, order, values);
  expect(how).toBe(index);
  expect(entries).toBeGreaterThan(0);
  expect(entries).toBeLessThanOrEqual(most + PAGE); // and the events that a viewer may not see, between them
});

const positionAt = async (time: string) =>
  (await client.query('select v1.event_position($1) as found', [time])).rows[0].found as string | null;

test('finds the position of a time, and it is the first event at or after it', async () => {
  const { rows } = await client.query<{ position: string; at: string; before: string; after: string }>(
    `select "position", time::text as at, (time - '1 us'::interval)::text as before, (time + '1 us'::interval)::text as after
     from v1.events order by "position"`,
  );
  expect(rows.length).toBeGreaterThan(ENTRIES / 2);
  const last = rows.length - 1;
  for (const nth of [0, 1, 2, 17, Math.floor(last / 3), Math.floor(last / 2), last - 1, last]) {
    const { position, at, before, after } = rows[nth] as (typeof rows)[number];
    expect(await positionAt(at)).toBe(position);
    expect(await positionAt(before)).toBe(position);
    // What comes next may be an event that a viewer does not see.
    const next = Number((await positionAt(after)) ?? Infinity);
    expect(next).toBeGreaterThan(Number(position));
    expect(next).toBeLessThanOrEqual(Number(rows[nth + 1]?.position ?? Infinity));
  }
  expect(await positionAt('-infinity')).toBe(rows[0]?.position);
  expect(await positionAt('infinity')).toBeNull();
});

test('looks at a few entries to find it', async () => {
  const { rows } = await client.query(
    `explain (analyze, buffers, costs off, timing off, format json) select v1.event_position(clock_timestamp() + interval '3 hours')`,
  );
  const { Plan: plan } = rows[0]['QUERY PLAN'][0];
  expect(plan['Shared Hit Blocks'] + plan['Shared Read Blocks']).toBeLessThan(200);
  const all = await stack.admin.query(
    `select sum(relpages)::int as blocks from pg_class where relname ~ '^entries_p[0-9]+$'`,
  );
  expect(all.rows[0].blocks).toBeGreaterThan(1000);
});
