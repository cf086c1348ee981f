import { colours, table } from '../../cli/output.ts';
import type { Judged, MutationReport } from './types.ts';

interface Tally {
  mutants: number;
  doctor: number;
  prove: number;
  survivors: number;
}

export interface Survivor {
  element: string;
  class: string;
  how: string;
  sql: string;
  why: string;
}

const NOTICED_BY_NOBODY = 'no lint finds it, and no probe and no rule fails';

export function tallies({ judged }: MutationReport): Record<string, Tally> {
  const count = (some: readonly Judged[]): Tally => {
    const by = (who: string) => some.filter(({ death }) => death?.by === who).length;
    return {
      mutants: some.length,
      doctor: by('doctor'),
      prove: by('prove'),
      survivors: some.filter(({ death }) => !death).length,
    };
  };
  const classes = [...Map.groupBy(judged, ({ mutant }) => mutant.class)].toSorted(([left], [right]) =>
    left < right ? -1 : 1,
  );
  return { ...Object.fromEntries(classes.map(([name, some]) => [name, count(some)])), all: count(judged) };
}

export function survivorsOf({ judged }: MutationReport): Survivor[] {
  return judged
    .filter(({ death }) => !death)
    .map(({ mutant: { element, class: name, how, sql }, why }) => ({
      element,
      class: name,
      how,
      sql,
      why: why ?? NOTICED_BY_NOBODY,
    }))
    .toSorted((left, right) => (`${left.class} ${left.element}` < `${right.class} ${right.element}` ? -1 : 1));
}

/** For machines: the figures, and every survivor with the SQL that makes it. */
export function mutationJson(report: MutationReport): Record<string, unknown> {
  const { all, ...byClass } = tallies(report);
  return {
    mutants: all?.mutants,
    killed: (all?.doctor ?? 0) + (all?.prove ?? 0),
    survivors: survivorsOf(report),
    byClass,
    excluded: report.excluded,
    seed: report.seed,
    seconds: report.seconds,
  };
}

/** For people: a line for each class, what was left out and why, the survivors with their SQL, and the score. */
export function mutationTable(report: MutationReport): string {
  const { green, red, bold, dim } = colours();
  const { all, ...byClass } = tallies(report);
  const line = ([name, { mutants, doctor, prove, survivors }]: [string, Tally]) => [
    name,
    ...[mutants, doctor, prove].map(String),
    survivors > 0 ? red(String(survivors)) : '0',
  ];
  const survivors = survivorsOf(report);
  const reasons = [...Map.groupBy(report.excluded, ({ class: name, reason }) => `${name}: ${reason}`)];
  const total = all ?? { mutants: 0, doctor: 0, prove: 0, survivors: 0 };
  const killed = total.doctor + total.prove;
  const score = `${killed} of ${total.mutants} mutants killed (${((100 * killed) / total.mutants).toFixed(1)} %), ${report.seconds} s. Again: --seed ${report.seed}`;
  return [
    table(
      ['element', 'mutants', 'by doctor', 'by prove', 'alive'],
      [...Object.entries(byClass), ['all', total] as [string, Tally]].map(line),
    ),
    ...(reasons.length > 0 ? [dim('Left out, since they weaken nothing:')] : []),
    ...reasons.map(([reason, some]) => dim(`  ${some.length} × ${reason}`)),
    ...survivors.map(
      ({ element, how, sql, why }) =>
        `\n${red(bold('alive'))} ${element}: ${how}\n  ${why}\n${sql.replaceAll(/^/gm, '    ')}`,
    ),
    `\n${(survivors.length === 0 ? green : red)(bold(score))}`,
  ].join('\n');
}
