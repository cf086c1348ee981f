import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { collectStatements, type Statement, sampleOf } from '../../bench/plans/collect.ts';
import { fillSkewed, type SkewedTenant } from '../../bench/plans/data.ts';
import { openRecorder } from '../../bench/plans/recorder.ts';
import { requestsOf, type Sample } from '../../bench/plans/requests.ts';
import {
  enter,
  execution,
  type PlannerSetting,
  plannerSettings,
  prepare,
  typeNames,
} from '../../bench/plans/session.ts';
import { openPostgrest } from '../../bench/wall/postgrest.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// PostgREST's connections keep one generic plan for each statement, whoever sends it next: a plan that is good for the tenant who came
// first and bad for another stays. `npm run bench -- plans` measures what these plans cost.

/** To name the requests before there is a stack. */
const NAMES = requestsOf({ fileId: '', jobId: '', createdAt: '', userId: '', apiKeyId: '' } as Sample).map(
  ({ name }) => name,
);

let stack: TestStack;
let client: pg.PoolClient;
let tenants: SkewedTenant[];
let largest: SkewedTenant;
let partitions: Set<string>;
const statements = new Map<SkewedTenant, Statement[]>();
let types: Map<number, string>;
let settings: PlannerSetting[];

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  tenants = await fillSkewed(stack.admin, 4000);
  largest = tenants.at(-1) as SkewedTenant;
  await collect();
  client = await stack.admin.connect();
  types = await typeNames(client, [...statements.values()].flat());
  settings = await plannerSettings(client);
  const { rows } = await stack.admin.query<{ name: string }>(
    `select c.oid::regclass::text as name
     from pg_class as c join pg_inherits on inhrelid = c.oid
     cross join lateral regexp_match(pg_get_expr(c.relpartbound, c.oid), 'modulus (\\d+), remainder (\\d+)') as bound
     where c.relispartition and c.relkind = 'r' and inhparent <> 'tenancy.tenants'::regclass
       and satisfies_hash_partition(inhparent, bound[1]::int, bound[2]::int, $1::tenancy.tenant_id)`,
    [largest.id],
  );
  partitions = new Set(rows.map(({ name }) => name));
});

afterAll(async () => {
  client?.release();
  await stack?.stop();
});

async function collect(): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), 'rowhouse-'));
  const recorder = await openRecorder(stack.database.authenticator);
  const own = { name: 'recorded', schemas: [], gated: true, databaseUrl: recorder.url, poolSize: 1 };
  try {
    const postgrest = await openPostgrest({ info: { database: stack.database }, directory }, own);
    try {
      for (const tenant of tenants) {
        const sample = await sampleOf(stack.admin, tenant.id);
        statements.set(tenant, await collectStatements(postgrest, recorder, tenant.token, sample));
      }
    } finally {
      await postgrest.stop();
    }
  } finally {
    await recorder.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

interface PlanNode {
  'Node Type': string;
  'Actual Loops'?: number;
  Schema?: string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Index Cond'?: string;
  Plans?: PlanNode[];
}

const statementOf = (tenant: SkewedTenant, name: string) =>
  statements.get(tenant)?.find((statement) => statement.name === name) as Statement;

/** The nodes of the generic plan that is made for one tenant, as another runs it: what is pruned is not in it, or has not run. */
async function genericPlan(name: string, plannedFor: SkewedTenant, runBy: SkewedTenant): Promise<PlanNode[]> {
  try {
    let plan: PlanNode | undefined;
    for (const [nth, tenant] of [plannedFor, runBy].entries()) {
      await enter(client, tenant.token, settings);
      // A test's tables are so small that reading all of them would be right.
      await client.query('set local enable_seqscan = off');
      if (nth === 0) await prepare(client, 'probe', statementOf(tenant, name), types);
      const { rows } = await client.query(
        `explain (analyze, format json, verbose, costs off, timing off, buffers off) ${execution(client, 'probe', statementOf(tenant, name))}`,
      );
      plan = rows[0]['QUERY PLAN'][0].Plan;
      await client.query('rollback');
    }
    return nodesOf(plan as PlanNode);
  } finally {
    await client.query('rollback; deallocate all');
  }
}

const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];
const scansOf = (nodes: PlanNode[]) =>
  nodes.filter((node) => /Scan$/.test(node['Node Type']) && node['Actual Loops'] !== 0);
const tableOf = ({ Schema: schema, 'Relation Name': name }: PlanNode) => `${schema}.${name}`;
const isTenants = (node: PlanNode) =>
  node['Relation Name'] !== undefined && /^(app|tenancy|auth|webhook|ledger\.entries)\b/.test(tableOf(node));

test('every relation of the API, and every function that only reads, is asked for', async () => {
  const { rows } = await stack.admin.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'v1'::regnamespace and relkind in ('v', 'r', 'm', 'p', 'f')
     union all select 'rpc/' || proname from pg_proc
       where pronamespace = 'v1'::regnamespace and provolatile <> 'v' and prorettype <> 'trigger'::regtype`,
  );
  const asked = new Set(NAMES.map((name) => name.split(':')[0]));
  expect(rows.map(({ name }) => name).filter((name) => !asked.has(name))).toEqual([]);
});

/** A UNION ALL is not pruned when it starts: each partition's index is searched with the tenant, and finds nothing. */
const UNPRUNED = new Set(['webhook_attempts: of a delivery']);

describe.each(NAMES)('the generic plan of %s', (name) => {
  test('reads the partitions of the tenant alone, by an index that is searched with the tenant', async () => {
    const nodes = await genericPlan(name, tenants[0] as SkewedTenant, largest);
    for (const scan of scansOf(nodes).filter(isTenants)) {
      // Empty, and so of no tenant.
      if (tableOf(scan) !== 'auth.api_key_uses_p00' && !UNPRUNED.has(name))
        expect([...partitions]).toContain(tableOf(scan));
      expect(scan, JSON.stringify(scan)).toMatchObject({ 'Node Type': expect.stringMatching(/^(Index|Bitmap)/) });
      if (scan['Node Type'] !== 'Bitmap Heap Scan') expect(scan['Index Cond']).toMatch(/tenant_id\)*(::text)? =/);
    }
  });

  test('is the same whoever’s request it was made for', async () => {
    const shapes = [];
    for (const tenant of tenants) {
      const nodes = await genericPlan(name, tenant, largest);
      shapes.push(nodes.map((node) => [node['Node Type'], node['Relation Name'], node['Index Name']].join(' ')));
    }
    expect(shapes[1]).toEqual(shapes[0]);
    expect(shapes[2]).toEqual(shapes[0]);
  });
});
