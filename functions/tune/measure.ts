import pg from 'pg';
import { median } from './median.ts';
import { become } from './session.ts';
import { matchesOf, type Shape, shapeName, statementOf } from './shape.ts';
import type { Measurement } from './types.ts';

interface Node {
  'Node Type': string;
  'Index Name'?: string;
  'Relation Name'?: string;
  'Parent Relationship'?: string;
  'Plan Rows': number;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Index Recheck'?: number;
  Plans?: Node[];
}

interface Explained {
  Plan: Node & Record<string, number>;
  'Execution Time': number;
}

/** Odd, so that the median is one of them. The first one warms the cache and is not counted. */
const RUNS = 5;

/** A statement with its values, and what ran of it. */
export interface Measured extends Measurement {
  indexes: Set<string>;
}

const nodes = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodes)];
const READS = /Scan$/;
/** They read what another node has made. */
const READS_OTHERS = /^(CTE|Subquery|Function|Values|WorkTable) Scan$|^Bitmap Index Scan$/;

function rowsRead(plan: Node): number {
  const scans = nodes(plan).filter((node) => READS.test(node['Node Type']) && !READS_OTHERS.test(node['Node Type']));
  return scans.reduce((sum, node) => {
    const removed = (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0);
    return sum + (node['Actual Rows'] + removed) * node['Actual Loops'];
  }, 0);
}

const blocksOf = (plan: Record<string, number>) =>
  ['Shared Hit', 'Shared Read', 'Local Hit', 'Local Read', 'Temp Read'].reduce(
    (sum, kind) => sum + (plan[`${kind} Blocks`] ?? 0),
    0,
  );

const indexesOf = (plan: Node) => nodes(plan).flatMap((node) => node['Index Name'] ?? []);

let prepared = 0;

async function explained(
  client: pg.Client,
  name: string,
  options: string,
  values: readonly string[],
): Promise<Explained> {
  const list = values.length > 0 ? `(${values.map((value) => pg.escapeLiteral(value)).join(', ')})` : '';
  const { rows } = await client.query<{ 'QUERY PLAN': [Explained] }>(
    `explain (${options}, format json) execute ${name}${list}`,
  );
  const plan = rows[0]?.['QUERY PLAN'][0];
  if (!plan) throw new Error('explain answered nothing');
  return plan;
}

/** Prepared, as PostgREST's statements are: what is planned once, without the values, is what runs. */
async function prepare(client: pg.Client, statement: string): Promise<string> {
  prepared += 1;
  const name = `tune_${prepared}`;
  await client.query(`prepare ${name} as ${statement}`);
  return name;
}

/**
 * Runs a statement with each set of values, in the transaction and role at hand.
 * @param relation the view, or a copy of its table
 * @param sets values for the placeholders; figures are means over them, times medians of five runs
 */
export async function measure(
  client: pg.Client,
  shape: Shape,
  relation: string,
  sets: readonly (readonly string[])[],
): Promise<Measured> {
  const offset = shape.limited ? ['0'] : [];
  const name = await prepare(client, statementOf(shape, relation));
  const total = { ms: 0, rows: 0, read: 0, blocks: 0 };
  const indexes = new Set<string>();
  for (const set of sets) {
    const times: number[] = [];
    let last: Explained | undefined;
    for (let run = 0; run <= RUNS; run++) {
      last = await explained(client, name, 'analyze, buffers, timing off', [...set, ...offset]);
      if (run > 0) times.push(last['Execution Time']);
    }
    if (!last) continue;
    total.ms += median(times) / sets.length;
    total.blocks += blocksOf(last.Plan) / sets.length;
    total.read += rowsRead(last.Plan) / sets.length;
    // What json_agg gathers; the first child may be an InitPlan of a policy.
    const list = last.Plan.Plans?.find((node) => node['Parent Relationship'] === 'Outer') ?? last.Plan;
    total.rows += (list['Actual Rows'] * list['Actual Loops']) / sets.length;
    for (const index of indexesOf(last.Plan)) indexes.add(index);
  }
  return { statement: shapeName(shape), ...total, indexes };
}

/**
 * How many rows of a partition the planner expects the conditions to match, without values, as in a generic plan. Asked without the policy:
 * behind it, every tenant is taken for the same part of the partition. The tenants that are tuned are most of theirs.
 */
export async function estimate(
  client: pg.Client,
  shape: Shape,
  partition: string,
  set: readonly string[],
): Promise<number> {
  await become(client, 'none');
  const name = await prepare(client, matchesOf(shape, partition));
  const values = shape.limited ? set.slice(0, -1) : set;
  const { Plan } = await explained(client, name, 'costs', values);
  await become(client, 'tenant_user');
  return Plan['Plan Rows'];
}

/** How many rows the conditions match, as a mean over the sets. */
export async function matching(
  client: pg.Client,
  shape: Shape,
  relation: string,
  sets: readonly (readonly string[])[],
): Promise<number> {
  const name = await prepare(client, matchesOf(shape, relation));
  let rows = 0;
  for (const set of sets) {
    const values = shape.limited ? set.slice(0, -1) : set;
    rows += (await explained(client, name, 'analyze, timing off', values)).Plan['Actual Rows'] ?? 0;
  }
  return rows / Math.max(1, sets.length);
}
