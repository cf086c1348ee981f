import { colours, table } from '../cli/output.ts';
import type { Finding } from './finding.ts';
import type { Level } from './lints.ts';
import type { Waived } from './waivers.ts';

export type Counts = Record<Level, number>;

export function countLevels(findings: Finding[]): Counts {
  const count = (level: Level) => findings.filter((finding) => finding.level === level).length;
  return { error: count('error'), warning: count('warning'), info: count('info') };
}

const LEVELS: readonly Level[] = ['error', 'warning', 'info'];

const several = (n: number, thing: string) => `${n} ${thing}${n === 1 ? '' : 's'}`;

function group(findings: Finding[]): string {
  const { red, yellow, cyan, dim, bold } = colours();
  const paint = { error: red, warning: yellow, info: cyan };
  const [first] = findings;
  if (!first) return '';
  return [
    `${paint[first.level](first.level)} ${bold(first.lint)}  ${first.title}  ${dim(first.docs)}`,
    table(
      ['object', 'what'],
      findings.map(({ object, detail }) => [object, detail]),
    ),
    ...findings.filter(({ remedy }) => remedy !== '').map(({ remedy }) => dim(`  ${remedy}`)),
  ].join('\n');
}

/** What a person reads: the worst first, one table for each lint with the remedies beneath, and a line that counts. */
export function humanReport(findings: Finding[], waived: Waived[], lints: number): string {
  const { green, red } = colours();
  const counts = countLevels(findings);
  const accepted = waived.length > 0 ? `, ${waived.length} accepted with a reason` : '';
  if (findings.length === 0) return `${green('The wall holds')}: ${lints} lints, no findings${accepted}.`;
  const byLint = Map.groupBy(findings, ({ lint }) => lint);
  const groups = [...byLint.values()].toSorted(
    ([a], [b]) => LEVELS.indexOf(a?.level ?? 'info') - LEVELS.indexOf(b?.level ?? 'info'),
  );
  const { error, warning, info } = counts;
  const sum = [several(error, 'error'), several(warning, 'warning'), several(info, 'info')].join(', ');
  return `${groups.map(group).join('\n\n')}\n\n${error + warning > 0 ? red(sum) : sum}${accepted}.`;
}
