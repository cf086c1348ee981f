import { colours, table } from '../../cli/output.ts';
import type { ProveReport } from '../types.ts';
import { isClean } from './json.ts';
import { COLUMNS, matrixRows } from './rows.ts';

/** Findings shown in full; the rest is in --json and --html. */
const SHOWN = 20;

/** The report for people: the matrix, what was found with a line to repeat it, and the figures. */
export function tableReport(report: ProveReport): string {
  const { red, green, bold, dim } = colours();
  const rows = matrixRows(report).map(({ relation, verb, cells }) => [
    relation,
    verb,
    ...cells.map(({ text, bad }) => (bad ? red(text) : text)),
  ]);
  const parts = [
    table(['relation', 'verb', ...COLUMNS], rows),
    dim('probes by role; ✗ leaks and failures, ○ cells that nothing covers'),
  ];
  for (const { kind, at, detail, curl } of report.findings.slice(0, SHOWN)) {
    parts.push(`\n${red(bold(kind))} ${at}\n  ${detail}${curl ? `\n  ${dim(curl)}` : ''}`);
  }
  if (report.findings.length > SHOWN)
    parts.push(`\n… and ${report.findings.length - SHOWN} more: --json or --html FILE has them all.`);
  const figures = `${report.probes} probes in ${report.requests} requests, ${report.leaks} leaks, ${report.uncovered} uncovered, ${report.seconds} s. Again: --seed ${report.seed}`;
  parts.push(`\n${(isClean(report) ? green : red)(bold(figures))}`);
  parts.push(dim('The throw-away tenants are gone; their entries in the ledger, which nobody can delete, are not.'));
  return parts.join('\n');
}
