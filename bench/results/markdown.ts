import { barText, verdictOf } from '../bars.ts';
import type { Result } from '../result.ts';
import { describeBusy, describeMachine, describeVersions, figureText } from './describe.ts';

/** A question whose bench failed, with its last words. */
export interface Failure {
  question: string;
  failure: string;
}

/** bench/RESULTS.md: every question's figures, their bars, and where they were measured. */
export function renderResults(results: readonly Result[], failures: readonly Failure[]): string {
  const bars = results.flatMap((result) => barRows(result));
  const missed = bars.filter(({ verdict }) => verdict === 'missed').length;
  return `${[
    '# Results',
    'Written by `npm run bench:report`. Ratios are medians of the ratios within rounds, in which all sides were measured in turn; what each means, and to' +
      ' whom it is unfair, is in the README of its question. A machine that does other work, or another one, gives other figures.',
    ...origins(results),
    `## Bars: ${bars.length - missed} met, ${missed} missed`,
    markdownTable(
      ['question', 'figure', 'measured', 'bar', ''],
      bars.map(({ cells, verdict }) => [...cells, verdict === 'met' ? 'met' : '**missed**']),
    ),
    ...failures.map(({ question, failure }) => `**${question} failed:** ${failure}`),
    ...results.map(section),
  ].join('\n\n')}\n`;
}

function barRows({ run, ...figures }: Result) {
  return Object.entries(run.bars ?? {}).map(([key, bar]) => ({
    cells: [`[${run.question}](${run.question}/README.md)`, `\`${key}\``, figureText(figures[key]), barText(bar)],
    verdict: verdictOf(figures[key], bar),
  }));
}

/** Once for all questions that were measured alike. */
function origins(results: readonly Result[]): string[] {
  const groups = Map.groupBy(results, ({ run }) => {
    const what = `${describeMachine(run.machine)}. ${describeVersions(run.versions)}.`;
    return `${run.at.slice(0, 10)}${run.quick ? ', with `--quick`' : ''}: ${what}`;
  });
  return [...groups].map(([text, group]) =>
    groups.size === 1 ? text : `- ${text} (${group.map(({ run }) => run.question).join(', ')})`,
  );
}

function section({ run, ...figures }: Result): string {
  const plans = Object.entries(run.plans ?? {}).map(([name, plan]) => `- ${name}: ${plan.split('\n')[0]}`);
  return [
    `## ${run.question}`,
    `${run.title} ([setup and how to read it](${run.question}/README.md); ${[`${run.seconds} s`, describeBusy(run.machine)].filter(Boolean).join('; ')})`,
    markdownTable(run.head, run.rows),
    run.notes.join('\n'),
    markdownTable(
      ['figure', 'measured'],
      Object.entries(figures).map(([key, figure]) => [`\`${key}\``, figureText(figure)]),
    ),
    ...(plans.length > 0 ? [plans.join('\n')] : []),
  ].join('\n\n');
}

function markdownTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) =>
    `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(head), `|${head.map((_, nth) => (nth === 0 ? '---|' : '---:|')).join('')}`, ...rows.map(line)].join(
    '\n',
  );
}
