import { runLoad } from '../load.ts';
import { watchProcesses } from '../processes.ts';
import type { Bench } from '../report.ts';
import { runRounds } from '../rounds.ts';
import { type BenchStack, withStack } from '../stack.ts';
import { openPostgrest } from '../wall/postgrest.ts';
import { report } from './report.ts';
import { checkAnswers, type Side, sidesOf } from './sides.ts';
import { createTables, emptyTables, OWN_SCHEMAS } from './tables.ts';

/** Of one row: as for reads. Of a thousand: each takes a connection of PostgREST's pool for long. */
const CONNECTIONS = { 1: 32, 1000: 4 } as const;
const WARM_SECONDS = 0.5;

const bench: Bench = ({ quick, progress }) =>
  withStack(progress, async (stack) => {
    const tenants = await createTables(stack.admin);
    const ungated = await openPostgrest(stack, { name: 'ungated', schemas: OWN_SCHEMAS, gated: false });
    const gated = await openPostgrest(stack, { name: 'gated', schemas: OWN_SCHEMAS, gated: true });
    try {
      const sides = sidesOf({ gated: gated.origin, ungated: ungated.origin }, tenants);
      await checkAnswers(stack.admin, sides);
      const pids = { gated: gated.pid, ungated: ungated.pid };
      const measure = (rows: 1 | 1000) =>
        runRounds(
          sides,
          { rounds: quick ? 3 : 11, progress: (message) => progress(`inserting ${rows}: ${message}`) },
          (side, round) => measureOne(stack, pids, side, { rows, seconds: round === 0 ? 1 : quick ? 1.5 : 5 }),
        );
      return report(sides, { 1: await measure(1), 1000: await measure(1000) });
    } finally {
      await gated.stop();
      await ungated.stop();
    }
  });

async function measureOne(
  stack: BenchStack,
  pids: { gated: number; ungated: number },
  side: Side,
  { rows, seconds }: { rows: 1 | 1000; seconds: number },
) {
  await emptyTables(stack.admin);
  // What the side before left to be flushed would be flushed at this one's expense.
  await stack.admin.query('checkpoint');
  const load = { origin: side.origin, requests: side.requests[rows], connections: CONNECTIONS[rows] };
  // Each of PostgREST's sessions forgets what it knew of a table that was emptied: its plans, and what is in the catalogue.
  await runLoad({ ...load, seconds: WARM_SECONDS });
  const postgrest = side.gated ? pids.gated : pids.ungated;
  const watch = watchProcesses({ postgres: stack.pids().postgres as number, postgrest });
  const result = await runLoad({ ...load, seconds });
  return { ...result, ...watch.stop(result.requests) };
}

export default bench;
