import type { ProveReport } from '../types.ts';

/** The report for machines: figures, and the findings behind them. Cells are those of the coverage matrix. */
export function jsonReport(report: ProveReport): Record<string, unknown> {
  const { findings, probes, leaks, uncovered, seed, requests, seconds, digest, relations, functions, cells } = report;
  return { findings, probes, leaks, uncovered, seed, requests, seconds, digest, relations, functions, cells };
}

/** Whether everything was covered and nothing gave way. */
export function isClean({ findings }: ProveReport): boolean {
  return findings.length === 0;
}
