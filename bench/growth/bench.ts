import { until } from '../../functions/stack/until.ts';
import { runLoad } from '../load.ts';
import { watchProcesses } from '../processes.ts';
import type { Bench } from '../report.ts';
import { runRounds } from '../rounds.ts';
import { type BenchStack, withStack } from '../stack.ts';
import { addTenants, createTable, fillTable } from './data.ts';
import { profilesOf } from './profile.ts';
import { report } from './report.ts';
import { checkAnswers, type Side, sidesOf } from './sides.ts';
import { SIZES } from './tables.ts';

/** Latency is asked for: with more, requests would wait for each other on two cores. */
const CONNECTIONS = 4;

const bench: Bench = ({ quick, progress }) =>
  withStack(progress, async (stack) => {
    const rounds = quick ? 4 : 9;
    const seconds = quick ? 1.5 : 4;
    const { admin, info } = stack;
    await addTenants(admin, Math.max(...(quick ? SIZES.quick : SIZES.full)));
    const sides = await sidesOf(admin, quick);
    await fillTables(stack, sides, progress);
    await reloadSchema(stack, sides);
    await checkAnswers(admin, info.postgrest, sides);
    const profiles = await profilesOf(stack, sides);
    const samples = await runRounds(sides, { rounds, progress }, async ({ requests }, round) => {
      const { postgres = 0, postgrest = 0 } = stack.pids();
      const watch = watchProcesses({ postgres, postgrest });
      const load = { origin: info.postgrest, requests, connections: CONNECTIONS };
      const result = await runLoad({ ...load, seconds: round === 0 ? 1 : seconds });
      return { ...result, ...watch.stop(result.requests) };
    });
    return report(admin, sides, samples, profiles);
  });

/** Two at a time, as there are two cores; the largest first. */
async function fillTables({ admin }: BenchStack, sides: readonly Side[], progress: (message: string) => void) {
  const tables = [...new Map(sides.map(({ table }) => [table.name, table])).values()].sort((a, b) => b.rows - a.rows);
  for (const table of tables) await createTable(admin, table);
  const waiting = tables.values();
  const fill = async () => {
    for (const table of waiting) {
      const began = performance.now();
      await fillTable(admin, table);
      progress(
        `${table.name}: ${table.rows.toLocaleString('en')} rows in ${Math.round((performance.now() - began) / 1000)} s`,
      );
    }
  };
  await Promise.all([fill(), fill()]);
  await admin.query('checkpoint');
}

async function reloadSchema({ admin, info }: BenchStack, sides: readonly Side[]): Promise<void> {
  await admin.query(`notify pgrst, 'reload schema'`);
  const last = sides.at(-1)?.requests[0];
  const known = async () => (await fetch(`${info.postgrest}${last?.path}`, { headers: last?.headers ?? {} })).ok;
  if (!(await until(known, { timeoutMs: 60_000 }))) throw new Error('PostgREST does not know the tables');
}

export default bench;
