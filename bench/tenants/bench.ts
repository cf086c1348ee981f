import { setTimeout as delay } from 'node:timers/promises';
import type { Bench } from '../report.ts';
import { orderOf } from '../rounds.ts';
import { withStack } from '../stack.ts';
import { median } from '../statistics.ts';
import { clock, startReader } from './reader.ts';
import { type Measured, report } from './report.ts';
import { openRowhouse } from './rowhouse.ts';
import { openSchemaPerTenant } from './schema-per-tenant.ts';
import { checkAnswers, type Side } from './side.ts';

const TENANTS = 1000;
/** How long one tenant's transaction stands in a migration's way. */
const HELD_MS = 500;

const bench: Bench = ({ quick, progress }) =>
  withStack(progress, async (stack) => {
    const rounds = quick ? 3 : 7;
    const closing: (() => Promise<unknown>)[] = [];
    try {
      progress(`${TENANTS} tenants, as rows and as schemas`);
      const sides = [
        await openRowhouse(stack, TENANTS, closing),
        await openSchemaPerTenant(stack, TENANTS, { closing, progress }),
      ];
      await checkAnswers(sides);
      const measured = new Map<Side, Measured[]>(sides.map((side) => [side, []]));
      for (let round = 0; round <= rounds; round++) {
        for (const side of orderOf(sides, round)) {
          const taken = await measure(side, round);
          if (round > 0) measured.get(side)?.push(taken);
        }
        progress(round === 0 ? 'warm' : `round ${round} of ${rounds}`);
      }
      return report(measured, TENANTS);
    } finally {
      for (const close of closing.reverse()) await close();
    }
  });

async function measure(side: Side, round: number): Promise<Measured> {
  let columns = 0;
  const column = () => `added_${round}_${columns++}`;
  const creations = await repeated(() => side.createTenant());
  const added = await repeated(() => timed(() => side.addColumn(column(), 'one by one')));
  const atOnce = await repeated(() => timed(() => side.addColumn(column(), 'at once')));
  const released = side.name === 'rowhouse' ? await repeated(() => timed(() => side.addColumnToApi(column()))) : added;
  // The longest of a warm-up would be thrown away.
  const wait = (work: () => Promise<void>) => (round === 0 ? Number.NaN : longestWait(side, work));
  return {
    madeMs: median(creations.map(({ madeMs }) => madeMs)),
    usableMs: median(creations.map(({ usableMs }) => usableMs)),
    addColumnMs: median(added),
    addColumnAtOnceMs: median(atOnce),
    addColumnToApiMs: median(released),
    longestWaitMs: await wait(() => side.addColumnToApi(column())),
    longestWaitBehindMs: await wait(() => behindTransaction(side, column())),
  };
}

/** What takes a few milliseconds is done often enough for a median. */
async function repeated<T>(work: () => Promise<T>): Promise<T[]> {
  const taken = [];
  const began = performance.now();
  do taken.push(await work());
  while (performance.now() - began < 500 && taken.length < 15);
  return taken;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** Of readers of many tenants, while `work` runs. */
async function longestWait(side: Side, work: () => Promise<void>): Promise<number> {
  const reader = await startReader(side);
  const from = clock();
  await work();
  const to = clock();
  return reader.stop(from, to);
}

async function behindTransaction(side: Side, column: string): Promise<void> {
  const end = await side.holdTransaction();
  const added = side.addColumnToApi(column);
  await delay(HELD_MS);
  await end();
  await added;
}

export default bench;
