import { type CellCheck, compileCellCheck } from './cell.ts';
import { count, type Findings, type Problem } from './findings.ts';
import type { Layout } from './header.ts';
import type { ValidationInput } from './input.ts';
import type { CsvOutput } from './output.ts';
import { CACHED_VALUES } from './pattern.ts';
import type { CurrentRecord } from './records.ts';
import { cellsTooLarge, cellsWithBrokenBytes, cellsWithBrokenQuotes, isBlank, wrongWidth } from './shape.ts';
import { createMemoryBudget, createUniqueIndex, INDEX_FULL, type UniqueIndex } from './unique.ts';

/** All indexes of a job together. Enough for some seven million values; a million take 40 MiB. */
const UNIQUE_MEMORY = 192 * 1024 * 1024;

export interface Rows {
  record(fields: string[], current: CurrentRecord): void;
  broken(reason: 'unclosed_quote' | 'record_too_large', firstLine: string): void;
  counts: RowCounts;
  /** Gives the memory of the indexes back; no more rows are read then. */
  close(): void;
}

export interface RowCounts {
  rows: number;
  valid_rows: number;
  duplicates_removed: number;
  /** Column → kind of correction → how many. */
  corrections: Map<string, Map<string, number>>;
}

/** Checks the rows of a file one by one and passes them, repaired, to `repaired` where there is one. */
export function createRows(layout: Layout, input: ValidationInput, findings: Findings, repaired?: CsvOutput): Rows {
  const { columns, repair, deduplicate, date_order: dateOrder } = input;
  const width = layout.names.length;
  const reserve = createMemoryBudget(UNIQUE_MEMORY);
  const numeric: boolean[] = new Array(width).fill(false);
  const plans: { position: number; name: string; check: CellCheck; seen: UniqueIndex | undefined }[] = [];
  const patterns = columns.filter((column) => column.pattern !== undefined).length;
  const cellOptions = { repair, dateOrder, cachedValues: Math.floor(CACHED_VALUES / Math.max(patterns, 1)) };
  columns.forEach((column, index) => {
    const position = layout.positions[index] as number;
    if (position === -1) return;
    const check = compileCellCheck(column, cellOptions);
    plans.push({ position, name: column.name, check, seen: column.unique ? createUniqueIndex(reserve) : undefined });
    numeric[position] = column.type === 'integer' || column.type === 'number';
  });
  const unique = plans.filter((plan) => plan.seen);
  const seenRows = deduplicate ? createUniqueIndex(reserve) : undefined;
  const counts: RowCounts = { rows: 0, valid_rows: 0, duplicates_removed: 0, corrections: new Map() };
  const full = new Set<string>();
  let number = 0;
  let problems: Problem[] = [];

  function record(fields: string[], current: CurrentRecord): void {
    number++;
    if (isBlank(fields)) {
      findings.add(number, { rule: 'blank_line', severity: 'warning', message: 'blank line' });
      return;
    }
    counts.rows++;
    if (problems.length > 0) problems = [];
    if (current.suspect()) cellsWithBrokenBytes(fields, layout.names, repair, problems);
    cellsTooLarge(fields, layout.names, current, problems);
    cellsWithBrokenQuotes(fields, layout.names, current, problems);
    if (fields.length !== width) problems.push(wrongWidth(fields, width));
    for (const { position, check } of plans) {
      const cell = fields[position];
      if (cell !== undefined) fields[position] = check(cell, problems);
    }
    if (seenRows && isDuplicateRow(fields, seenRows)) return;
    for (const plan of unique) checkUnique(plan.name, fields[plan.position], plan.seen as UniqueIndex);
    if (problems.length === 0) {
      if (!layout.everyRowInvalid) counts.valid_rows++;
    } else report();
    repaired?.row(fields, numeric);
  }

  /** NUL joins without ambiguity: repair, without which there is no deduplication, has removed it from the cells. */
  function isDuplicateRow(fields: string[], seen: UniqueIndex): boolean {
    const first = seen.add(fields.join('\0'), number);
    if (first === INDEX_FULL) warnFull('duplicate_row', undefined);
    if (first <= 0) return false;
    const message = `the same as row ${first}; left out of the repaired file`;
    findings.add(number, { rule: 'duplicate_row', severity: 'warning', message });
    counts.duplicates_removed++;
    counts.valid_rows++;
    return true;
  }

  function checkUnique(name: string, cell: string | undefined, seen: UniqueIndex): void {
    if (cell === undefined || cell === '') return;
    const first = seen.add(cell, number);
    if (first === INDEX_FULL) warnFull('unique', name);
    if (first <= 0) return;
    const message = `the same value as row ${first}`;
    problems.push({ rule: 'unique', severity: 'error', message, column: name, value: cell });
  }

  function warnFull(rule: string, column: string | undefined): void {
    const key = `${rule} ${column ?? ''}`;
    if (full.has(key)) return;
    full.add(key);
    const message = `too many distinct values: from row ${number} on, only those of earlier rows were compared`;
    findings.add(null, { rule: `${rule}_incomplete`, severity: 'warning', message, column });
  }

  function report(): void {
    if (!layout.everyRowInvalid && problems.every((problem) => problem.severity === 'warning')) counts.valid_rows++;
    for (const problem of problems) {
      findings.add(number, problem);
      const { column, correction, repaired: right } = problem;
      if (right === undefined || column === undefined || correction === undefined) continue;
      let kinds = counts.corrections.get(column);
      if (!kinds) {
        kinds = new Map();
        counts.corrections.set(column, kinds);
      }
      count(kinds, correction);
    }
  }

  function broken(rule: 'unclosed_quote' | 'record_too_large', firstLine: string): void {
    number++;
    counts.rows++;
    const message =
      rule === 'unclosed_quote'
        ? 'a quote is opened and never closed; this line was skipped, reading goes on with the next'
        : 'too large to read; this line was skipped, reading goes on with the next';
    findings.add(number, { rule, severity: 'error', message, value: firstLine });
  }

  function close(): void {
    seenRows?.close();
    for (const { seen } of unique) seen?.close();
  }

  return { record, broken, counts, close };
}
