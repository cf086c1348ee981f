import type { BenchReport } from '../report.ts';
import { round } from '../statistics.ts';
import { type Comparison, NEGLIGIBLE_MS, slowdownOf } from './measure.ts';

const SHOWN = 15;

export function report(comparisons: readonly Comparison[]): BenchReport {
  const worstFirst = comparisons.toSorted((a, b) => slowdownOf(b) - slowdownOf(a) || b.genericMs - a.genericMs);
  const worst = worstFirst.filter(firstOfItsStatement).slice(0, SHOWN);
  const above = new Set(comparisons.filter((one) => slowdownOf(one) > 3).map(({ statement }) => statement));
  const statements = new Set(comparisons.map(({ statement }) => statement));
  const planning = comparisons.reduce((sum, { planningMs }) => sum + planningMs, 0) / comparisons.length;
  return {
    title: 'Is any statement of the API slower on its generic plan than on its own?',
    head: [
      'the worst of each statement, ms',
      'rows of the tenant',
      'planned for',
      'generic',
      'custom',
      'ratio',
      'to plan',
    ],
    rows: worst.map((one) => [
      one.statement,
      one.tenant.rows.toLocaleString('en'),
      one.plannedFor.rows.toLocaleString('en'),
      one.genericMs.toFixed(2),
      one.customMs.toFixed(2),
      round(slowdownOf(one), 2),
      one.planningMs.toFixed(2),
    ]),
    notes: [
      `${statements.size} statements, for tenants of three sizes, on generic plans made for each of the three: ${comparisons.length} comparisons.`,
      `Ratio 1: slower by less than ${NEGLIGIBLE_MS} ms, or faster. Planning, not counted, takes ${round(planning, 2)} ms on average; a generic plan saves it.`,
      'See bench/plans/README.md.',
    ],
    figures: {
      worst_generic_vs_custom: round(slowdownOf(worstFirst[0] as Comparison)),
      worst_statement: worstFirst[0]?.statement,
      statements_above_3: [...above],
      statements: statements.size,
      mean_planning_ms: round(planning),
    },
    bars: { worst_generic_vs_custom: { atMost: 3 } },
    plans: Object.fromEntries(
      worst.slice(0, 3).flatMap(({ statement, genericPlan, customPlan }) => [
        [`${statement}, generic`, genericPlan],
        [`${statement}, custom`, customPlan],
      ]),
    ),
  };
}

function firstOfItsStatement({ statement }: Comparison, nth: number, all: readonly Comparison[]): boolean {
  return all.findIndex((other) => other.statement === statement) === nth;
}
