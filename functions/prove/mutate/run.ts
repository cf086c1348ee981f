import { availableParallelism } from 'node:os';
import { connected } from '../../database.ts';
import { readLints } from '../../doctor/lints.ts';
import { RowhouseError } from '../../errors.ts';
import { seedOf } from '../random.ts';
import { openCommitted } from './committed.ts';
import { generateMutants } from './generate.ts';
import { type ScratchOptions, type ScratchServer, withScratch } from './scratch.ts';
import type { Death, Generated, Judged, Mutant, MutationReport } from './types.ts';
import { type MutantWorker, openWorker } from './worker.ts';

export interface MutateOptions extends ScratchOptions {
  seed: number;
  /** Only mutants whose class or element has this in its name. */
  only?: string | undefined;
  /** As many as this, drawn by the seed. */
  sample?: number | undefined;
  /** What is left out of the judges, to see that its absence is noticed. */
  without?: { lints?: readonly string[]; rules?: readonly string[]; committed?: boolean };
  signal?: AbortSignal;
}

/** As many copies at once as there are processors to serve them; more would only share them. */
const MOST_WORKERS = 4;

function chosen({ mutants, excluded }: Generated, { only, sample, seed }: MutateOptions): Generated {
  const named = ({ class: name, element }: { class: string; element: string }) =>
    only === undefined || name.includes(only) || element.includes(only);
  const all = mutants.filter(named);
  if (all.length === 0) {
    throw new RowhouseError('usage_invalid', {
      detail: `No class and no element has ${only} in its name.`,
      hint: `Classes: ${[...new Set(mutants.map((mutant) => mutant.class))].join(', ')}.`,
    });
  }
  const drawn = all
    .map((mutant) => ({ mutant, place: seedOf(seed, mutant.class, mutant.element, mutant.how, mutant.sql) }))
    .toSorted((left, right) => left.place - right.place)
    .map(({ mutant }) => mutant);
  return { mutants: drawn.slice(0, sample ?? drawn.length), excluded: excluded.filter(named) };
}

type Told = { say: (message: string) => void; check: () => void };

/** Each mutant in a transaction that is rolled back; those of the cluster by the first worker alone. */
async function inTransactions(
  workers: readonly MutantWorker[],
  mutants: readonly Mutant[],
  { say, check }: Told,
): Promise<Judged[]> {
  const judged: Judged[] = [];
  const cluster = mutants.filter((mutant) => mutant.cluster);
  const rest = mutants.filter((mutant) => !mutant.cluster);
  let said = Date.now();
  const work = async (worker: MutantWorker, own: Mutant[]) => {
    for (let mutant = own.shift() ?? rest.shift(); mutant; mutant = own.shift() ?? rest.shift()) {
      check();
      judged.push({ mutant, ...(await judgedBy(worker.judge, mutant)) });
      if (Date.now() - said > 3000) {
        said = Date.now();
        say(
          `${judged.length} of ${mutants.length} mutants, ${judged.filter(({ death }) => !death).length} still alive`,
        );
      }
    }
  };
  await Promise.all(workers.map((worker, nth) => work(worker, nth === 0 ? cluster : [])));
  return judged;
}

async function judgedBy(
  judge: (mutant: Mutant) => Promise<Death>,
  mutant: Mutant,
): Promise<Pick<Judged, 'death' | 'why'>> {
  try {
    return { death: await judge(mutant) };
  } catch (error) {
    if (error instanceof RowhouseError) throw error;
    return { death: undefined, why: `it could not be applied: ${(error as Error).message}` };
  }
}

/** What is alive yet: on a server that cannot protect the seal, then committed and proved over HTTP. */
async function further(
  alive: readonly Judged[],
  worker: MutantWorker,
  server: ScratchServer,
  options: MutateOptions,
  { say, check }: Told,
): Promise<void> {
  for (const judged of alive.filter(({ mutant, why }) => !mutant.cluster && !why)) {
    check();
    Object.assign(judged, await judgedBy(worker.judgeUnprotected, judged.mutant));
  }
  const left = alive.filter(({ mutant, death, why }) => !mutant.cluster && !death && !why);
  if (left.length === 0 || options.without?.committed) return;
  const committed = await openCommitted(await server.copy(), options.seed).catch((error: RowhouseError) => error);
  if (committed instanceof Error) {
    // What was judged until now took minutes, and holds.
    const why = `it could not be proved over HTTP: ${[committed.message, committed.hint].filter(Boolean).join(' ')}`;
    for (const judged of left) judged.why = why;
    return;
  }
  for (const [nth, judged] of left.entries()) {
    check();
    say(`proving over HTTP: ${nth + 1} of ${left.length}, ${judged.mutant.element}`);
    Object.assign(judged, await judgedBy(committed.judge, judged.mutant));
  }
}

/**
 * Weakens every wall element of a copy of the schema, one at a time, and demands that doctor or prove notices.
 * @throws RowhouseError usage_invalid, permission_denied, conflict, internal; what building the copy throws
 */
export function mutate(options: MutateOptions): Promise<MutationReport> {
  const { seed, without } = options;
  const say = options.onProgress ?? (() => {});
  const started = Date.now();
  const check = () => {
    if (options.signal?.aborted)
      throw new RowhouseError('internal', { detail: 'Interrupted.', hint: 'The copies are gone.' });
  };
  return withScratch(options, async (server) => {
    const { mutants, excluded } = chosen(await connected(server.pristine.admin, generateMutants), options);
    say(`${mutants.length} mutants; ${excluded.length} changes that weaken nothing were left out`);
    const lints = readLints().filter(({ lint }) => !without?.lints?.includes(lint));
    const settings = { lints, withoutRules: new Set(without?.rules), seed };
    const workers: MutantWorker[] = [];
    try {
      const count = Math.min(availableParallelism(), MOST_WORKERS, Math.ceil(mutants.length / 20));
      for (let nth = 0; nth < count; nth++) workers.push(await openWorker(await server.copy(), settings));
      const judged = await inTransactions(workers, mutants, { say, check });
      const alive = judged.filter(({ death }) => !death);
      await further(alive, workers[0] as MutantWorker, server, options, { say, check });
      return { seed, judged, excluded, seconds: Math.round((Date.now() - started) / 100) / 10 };
    } finally {
      await Promise.all(workers.map((worker) => worker.close()));
    }
  });
}
