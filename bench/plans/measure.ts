import type pg from 'pg';
import { connected } from '../../functions/database.ts';
import { median } from '../statistics.ts';
import type { Statement } from './collect.ts';
import type { SkewedTenant } from './data.ts';
import { enter, execution, type PlannerSetting, planAs, plannerSettings, prepare, typeNames } from './session.ts';

/** How one statement ran for one tenant. */
export interface Comparison {
  statement: string;
  tenant: SkewedTenant;
  /** Whose request the generic plan was made for: stable functions, the seal's among them, are looked at when rows are estimated. */
  plannedFor: SkewedTenant;
  genericMs: number;
  customMs: number;
  /** To plan for this tenant alone, which the generic plan saves. */
  planningMs: number;
  genericPlan: string;
  customPlan: string;
}

/** Below this, a difference is lost in what a request takes in any case: about a millisecond. */
export const NEGLIGIBLE_MS = 0.2;

/** Measured again above this. */
const DOUBTFUL = 2;

export const slowdownOf = ({ genericMs, customMs }: Comparison) =>
  genericMs - customMs < NEGLIGIBLE_MS ? 1 : genericMs / customMs;

interface Timing {
  planningMs: number;
  executionMs: number;
  plan: string;
}

export interface MeasureOptions {
  adminUrl: string;
  tenants: readonly SkewedTenant[];
  /** Of each tenant, over keys of its own; the same names in the same order. */
  statements: Map<SkewedTenant, Statement[]>;
  times: number;
  progress(message: string): void;
}

/** Every statement on the generic plan made for each tenant, run by each tenant, against the plan made for that tenant and its values. */
export async function compare(options: MeasureOptions): Promise<Comparison[]> {
  const { adminUrl, tenants, statements, times, progress } = options;
  const comparisons: Comparison[] = [];
  const names = statements.get(tenants[0] as SkewedTenant)?.map(({ name }) => name) ?? [];
  await connected(adminUrl, async (client) => {
    const types = await typeNames(client, [...statements.values()].flat());
    const settings = await plannerSettings(client);
    for (const [nth, name] of names.entries()) {
      for (const plannedFor of tenants) {
        for (const tenant of tenants) {
          const pair = { made: statements.get(plannedFor)?.[nth], run: statements.get(tenant)?.[nth] } as Pair;
          const measureOne = async (repeats: number): Promise<Comparison> => {
            const { generic, custom } = await timePair(
              client,
              { types, settings },
              pair,
              { plannedFor, tenant },
              repeats,
            );
            return {
              ...{ statement: name, tenant, plannedFor, planningMs: custom.planningMs },
              ...{ genericMs: generic.executionMs, customMs: custom.executionMs },
              ...{ genericPlan: generic.plan, customPlan: custom.plan },
            };
          };
          const first = await measureOne(times);
          // Few runs are noise on a machine that does other work: what looks bad is measured again, and longer.
          comparisons.push(slowdownOf(first) > DOUBTFUL ? await measureOne(4 * times) : first);
        }
      }
      if ((nth + 1) % 10 === 0) progress(`${nth + 1} of ${names.length} statements`);
    }
  });
  return comparisons;
}

/** The statement with the values of the tenant that its generic plan is made for, and with those of the one that runs it. */
interface Pair {
  made: Statement;
  run: Statement;
}

/** In turn, so that noise falls on both. Medians; what the statement wrote is undone with its transaction. */
async function timePair(
  client: pg.Client,
  { types, settings }: { types: Map<number, string>; settings: readonly PlannerSetting[] },
  { made, run }: Pair,
  { plannedFor, tenant }: Pick<Comparison, 'plannedFor' | 'tenant'>,
  times: number,
): Promise<{ generic: Timing; custom: Timing }> {
  await enter(client, plannedFor.token, settings);
  await prepare(client, 'generic', made, types);
  await explain(client, 'generic', made); // Here the plan is made that is kept.
  await client.query('rollback');
  await enter(client, tenant.token, settings);
  await prepare(client, 'custom', run, types);
  const timings: Record<'generic' | 'custom', Timing[]> = { generic: [], custom: [] };
  for (let nth = 0; nth <= times; nth++) {
    for (const mode of ['generic', 'custom'] as const) {
      await planAs(client, mode, settings);
      const timing = await explain(client, mode, run);
      if (nth > 0) timings[mode].push(timing); // In the first, pages and catalogues are read.
    }
  }
  await client.query('rollback; deallocate all');
  return { generic: medianOf(timings.generic), custom: medianOf(timings.custom) };
}

async function explain(client: pg.Client, name: string, statement: Statement): Promise<Timing> {
  const { rows } = await client.query<{ 'QUERY PLAN': string }>(
    `explain (analyze, timing off, buffers off) ${execution(client, name, statement)}`,
  );
  const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
  return { planningMs: timeIn(plan, 'Planning'), executionMs: timeIn(plan, 'Execution'), plan };
}

function medianOf(timings: readonly Timing[]): Timing {
  return {
    planningMs: median(timings.map(({ planningMs }) => planningMs)),
    executionMs: median(timings.map(({ executionMs }) => executionMs)),
    plan: timings.at(-1)?.plan ?? '',
  };
}

const timeIn = (plan: string, what: string) => Number(new RegExp(`^${what} Time: ([\\d.]+) ms$`, 'm').exec(plan)?.[1]);
