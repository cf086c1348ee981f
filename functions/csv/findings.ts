import type { Finding, JobContext } from '../job.ts';
import type { CsvOutput } from './output.ts';

/** Something wrong with a cell, a row or the file. */
export interface Problem {
  rule: string;
  severity: 'error' | 'warning';
  message: string;
  column?: string | undefined;
  value?: string | undefined;
  repaired?: string | undefined;
  /** Kind of correction that `repaired` is counted as. */
  correction?: string;
}

export const REPORT_HEADER = ['row', 'column', 'rule', 'severity', 'message', 'value', 'repaired'];

const MAX_TEXT = 200;
/** Findings stored with one statement. */
const BATCH = 500;

export interface FindingsCounts {
  findings: number;
  findings_stored: number;
  by_rule: Record<string, number>;
  by_column: Record<string, number>;
}

export interface Findings {
  /** @param row data row from 1, null for the whole file. */
  add(row: number | null, problem: Problem): void;
  /** Hands full batches to the job and the report to its stream. */
  flush(): Promise<void>;
  close(): Promise<FindingsCounts>;
}

/** Numbers findings in file order, writes all of them to the report, and stores the first `limit`. */
export function createFindings(context: JobContext, report: CsvOutput, limit: number): Findings {
  let total = 0;
  let stored = 0;
  let batch: Finding[] = [];
  const byRule = new Map<string, number>();
  const byColumn = new Map<string, number>();
  report.row(REPORT_HEADER);

  async function store(atLeast: number): Promise<void> {
    while (batch.length >= atLeast && batch.length > 0) {
      const part = batch.slice(0, BATCH);
      batch = batch.slice(BATCH);
      await context.recordFindings(part);
      stored += part.length;
    }
  }

  return {
    add(row, problem) {
      const finding: Finding = {
        ordinal: total++,
        row,
        column_name: optional(problem.column),
        rule: problem.rule,
        severity: problem.severity,
        message: storable(problem.message),
        value: optional(problem.value),
        repaired: optional(problem.repaired),
      };
      count(byRule, problem.rule);
      if (finding.column_name !== null) count(byColumn, finding.column_name);
      if (finding.ordinal < limit) batch.push(finding);
      const { column_name: column, rule, severity, message, value, repaired } = finding;
      report.row([String(row ?? ''), column ?? '', rule, severity, message, value ?? '', repaired ?? '']);
    },
    async flush() {
      await report.flush();
      await store(BATCH);
    },
    async close() {
      await store(1);
      return {
        findings: total,
        findings_stored: stored,
        by_rule: Object.fromEntries(byRule),
        by_column: Object.fromEntries(byColumn),
      };
    },
  };
}

export function count(counts: Map<string, number>, key: string, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}

/** Text as PostgreSQL can store it: no NUL (shown as ␀), no half of a surrogate pair, at most 200 characters. */
export function storable(text: string): string {
  return text
    .slice(0, MAX_TEXT)
    .replaceAll('\0', '\u2400')
    .replace(/[\ud800-\udbff]$/, '')
    .toWellFormed();
}

const optional = (text: string | undefined) => (text === undefined ? null : storable(text));
