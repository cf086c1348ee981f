import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool } from '../../functions/database.ts';
import { openCluster } from '../cluster.ts';
import { openProxy } from '../proxy.ts';
import type { Chaos } from '../run.ts';
import { startFaults } from './faults.ts';
import { type Counts, noCounts } from './model.ts';
import { createOperations } from './operations.ts';
import { populate } from './world.ts';

const EDGES = 2;
const WORKERS = 24;
/** Longer than another edge is given. */
const CONTROL_MS = 4000;
const PROGRESS_MS = 5000;

/** The control: a ledger that tells of no change. Every check above has to find staleness then. */
const DEAF = `create or replace function ledger.changes_after(seen pg_snapshot)
  returns table (snapshot pg_snapshot, tenant_id text, table_name text) language sql stable
  as 'select pg_current_snapshot(), null::text, null::text'`;

const chaos: Chaos = async ({ quick, progress }) => {
  const operations = quick ? 20_000 : 100_000;
  const cluster = await openCluster(await mkdtemp(join(tmpdir(), 'rowhouse-chaos-')));
  const closing: (() => Promise<unknown>)[] = [() => cluster.stop()];
  try {
    progress('tenants, rows and edges');
    const tenants = await populate(cluster);
    const proxies = await Promise.all(Array.from({ length: EDGES }, () => openProxy(cluster.database.edge)));
    for (const proxy of proxies) closing.push(() => proxy.close());
    const edges: string[] = [];
    for (const proxy of proxies) edges.push((await cluster.startEdge(proxy.url)).url);
    const admin = createPool(cluster.database.admin, 'chaos-faults', 2);
    closing.push(() => admin.end());

    const faults = startFaults(admin, proxies);
    closing.push(() => faults.stop());
    const counts = noCounts();
    const random = createOperations(edges, tenants, counts);
    closing.push(() => random.close());
    const say = () => progress(`${counts.operations} of ${operations} operations, ${counts.hits} hits`);
    const saying = setInterval(say, PROGRESS_MS);
    closing.push(async () => clearInterval(saying));
    await run(random, () => counts.operations >= operations);
    clearInterval(saying);
    await faults.stop();

    progress('control: a ledger that tells of no change');
    await admin.query(DEAF);
    const control = noCounts();
    const deaf = createOperations(edges, tenants, control);
    closing.push(() => deaf.close());
    const end = performance.now() + CONTROL_MS;
    await run(deaf, () => performance.now() > end);
    await deaf.mistake();
    return report(counts, control, faults.counts);
  } finally {
    for (const close of closing.toReversed()) await close();
  }
};

export default chaos;

type Random = ReturnType<typeof createOperations>;

async function run(random: Random, isOver: () => boolean): Promise<void> {
  const worker = async () => {
    while (!isOver()) await random.one();
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
}

const bites = ({ staleSameEdge, staleOtherEdge, foreign, lateRefusals }: Counts) =>
  Math.min(staleSameEdge, staleOtherEdge, foreign, lateRefusals) > 0;

function report(counts: Counts, control: Counts, faults: Record<string, number>) {
  const hitRatio = counts.hits / counts.reads;
  const wrong =
    counts.staleSameEdge + counts.staleOtherEdge + counts.staleStrictly + counts.foreign + counts.lateRefusals;
  const rows: [string, keyof Counts][] = [
    ['operations', 'operations'],
    ['writes', 'writes'],
    ['hits', 'hits'],
    ['errors (503 while cut off)', 'errors'],
    ['older than a write through the same edge', 'staleSameEdge'],
    ['older than 1 s through another edge', 'staleOtherEdge'],
    ['older than any acknowledged write', 'staleStrictly'],
    ["another tenant's bytes", 'foreign'],
    ['answers to a removed member', 'lateRefusals'],
  ];
  return {
    title: 'Is anything that the cache gives ever old, or another tenant’s?',
    head: ['', 'followed', 'control'],
    rows: rows.map(([name, key]) => [name, counts[key], control[key]]),
    notes: [
      `Hits: ${(hitRatio * 100).toFixed(1)}% of ${counts.reads} reads. The control's ledger tells nothing, and has to be found stale.`,
      `Faults: ${Object.entries(faults)
        .map(([name, times]) => `${name} ${times}`)
        .join(', ')}.`,
    ],
    figures: {
      stale_same_edge: counts.staleSameEdge,
      stale_other_edge: counts.staleOtherEdge,
      stale_strictly: counts.staleStrictly,
      foreign: counts.foreign,
      late_refusals: counts.lateRefusals,
      operations: counts.operations,
      hits: counts.hits,
      hit_ratio: Math.round(hitRatio * 1000) / 1000,
      errors: counts.errors,
      faults: Object.values(faults).reduce((sum, times) => sum + times, 0),
      control_stale: control.staleStrictly,
    },
    // Without hits, or with a check that finds nothing where there is something, nothing was shown.
    passed: wrong === 0 && hitRatio > 0.1 && bites(control),
  };
}
