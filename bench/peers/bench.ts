import { type LoadRequest, runLoad } from '../load.ts';
import { watchProcesses } from '../processes.ts';
import type { Bench } from '../report.ts';
import { runRounds } from '../rounds.ts';
import { type BenchStack, withStack } from '../stack.ts';
import { ask, checkAdding, checkAnswers } from './answers.ts';
import { fillRows } from './data/rows.ts';
import { installPeers } from './install.ts';
import { plansOf } from './plans.ts';
import { type Measured, report } from './report.ts';
import type { Peer } from './services/peer.ts';
import { requestsOf, SHAPES, type Shape } from './shapes.ts';
import { openSides, type Side } from './sides.ts';

/** Enough to keep two cores busy, and few enough not to measure queues. */
const CONNECTIONS = 32;
const TENANTS = 100;
const ROWS = 200;
/** A pool that was idle while the others had their turns opens its connections and plans anew: not while the clock runs. */
const LEAD_IN_REQUESTS = 128;
const WARM_UP_SECONDS = 0.5;

const LENGTHS = {
  quick: { list: { rounds: 3, seconds: 0.6 }, others: { rounds: 2, seconds: 0.5 } },
  whole: { list: { rounds: 7, seconds: 2.5 }, others: { rounds: 5, seconds: 1.7 } },
};

const bench: Bench = async ({ quick, progress }) => {
  const missing = await installPeers(progress);
  const opened: Peer[] = [];
  const work = async (stack: BenchStack) => {
    progress(`${TENANTS} tenants with ${ROWS} files and ${ROWS} jobs each`);
    const tenants = await fillRows(stack.admin, { tenants: TENANTS, filesPerTenant: ROWS, jobsPerTenant: ROWS });
    const installed = missing === undefined;
    const sides = await openSides({ stack, tenants, installed, progress, opened: (peer) => opened.push(peer) });
    const plans = await plansOf(stack.admin, tenants[0]?.token ?? '');
    const measured = {} as Measured;
    for (const shape of SHAPES) {
      const taking = sides.filter(({ name }) => takesPart(name, shape, quick));
      // Before, so that the same is measured; and after, since GraphQL answers 200 to what it could not do.
      const check = () => (shape === 'mixed' ? checkAdding(taking) : checkAnswers(taking, shape, { jobs: ROWS / 4 }));
      progress(`${shape}: comparing answers`);
      await check();
      measured[shape] = await measure(taking, shape, stack, quick, progress);
      await check();
    }
    return report(measured, { plans, missing });
  };
  // All pools together hold more connections than a stack has need of.
  const settings = { max_connections: 200 };
  const closing = (stack: BenchStack) => work(stack).finally(() => Promise.all(opened.map((peer) => peer.close())));
  return withStack(progress, closing, settings);
};

function measure(sides: Side[], shape: Shape, stack: BenchStack, quick: boolean, progress: (message: string) => void) {
  const { rounds, seconds } = LENGTHS[quick ? 'quick' : 'whole'][shape === 'list' ? 'list' : 'others'];
  const postgres = stack.pids().postgres as number;
  const say = (message: string) => progress(`${shape}: ${message}`);
  return runRounds(sides, { rounds, progress: say }, async ({ origin, dialect, asked, pid }, round) => {
    const load = { origin, requests: requestsOf(dialect, shape, asked), connections: CONNECTIONS };
    await leadIn(load);
    const watch = watchProcesses({ server: pid, postgres });
    const result = await runLoad({ ...load, seconds: round === 0 ? WARM_UP_SECONDS : seconds });
    return { ...result, ...watch.stop(result.requests) };
  });
}

async function leadIn({ origin, requests }: { origin: string; requests: readonly LoadRequest[] }): Promise<void> {
  const asked = Array.from({ length: LEAD_IN_REQUESTS }, (_, nth) => requests[nth % requests.length] as LoadRequest);
  await Promise.all(asked.map((request) => ask(origin, request)));
}

/** Time for those whose figures are followed: tuned sides answer the first question alone in a quick run, some of them in a whole one. */
function takesPart(name: string, shape: Shape, quick: boolean): boolean {
  if (shape === 'list') return true;
  if (quick) return !name.endsWith('_tuned');
  return name !== 'supabase_style_tuned' && name !== 'prisma_tuned';
}

export default bench;
