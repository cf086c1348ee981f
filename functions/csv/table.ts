import { JobFailure } from '../job.ts';
import type { Findings, Problem } from './findings.ts';
import { type Layout, layoutFromHeader, layoutWithoutHeader } from './header.ts';
import type { ValidationInput } from './input.ts';
import type { CsvOutput } from './output.ts';
import type { RecordHandlers } from './records.ts';
import { createRows, type RowCounts, type Rows } from './rows.ts';
import { cellsWithBrokenBytes, isBlank } from './shape.ts';

/** Beyond this a file is hardly a table, and its header would not fit the job's result. */
const MAX_COLUMNS = 10_000;

export interface Table extends RecordHandlers {
  /** Nothing until the header was read. */
  state(): { layout: Layout; counts: RowCounts } | undefined;
  /** Gives memory back; no more records are read then. */
  close(): void;
}

/** Takes the records of a file: first the header, if there is one, then the rows under it. */
export function createTable(input: ValidationInput, findings: Findings, repaired?: CsvOutput): Table {
  let started: { layout: Layout; rows: Rows } | undefined;

  function start(layout: Layout): void {
    for (const problem of layout.problems) findings.add(null, problem);
    started = { layout, rows: createRows(layout, input, findings, repaired) };
  }

  function header(fields: string[]): void {
    if (fields.length > MAX_COLUMNS) {
      const detail = `The header has ${fields.length} columns, more than ${MAX_COLUMNS}. Check the delimiter.`;
      throw new JobFailure('file_unreadable', detail);
    }
    const layout = layoutFromHeader(fields, input.columns, input.extra_columns);
    repaired?.row(layout.names);
    start(layout);
  }

  if (!input.header) start(layoutWithoutHeader(input.columns));
  return {
    record(fields, current) {
      if (started) {
        started.rows.record(fields, current);
        return;
      }
      if (isBlank(fields)) return;
      const problems: Problem[] = [];
      if (current.suspect()) cellsWithBrokenBytes(fields, fields, input.repair, problems);
      for (const problem of problems) findings.add(null, problem);
      header(fields);
    },
    broken(reason, firstLine) {
      if (!started) {
        throw new JobFailure('file_unreadable', 'The header opens a quote that is never closed, or is too large.');
      }
      started.rows.broken(reason, firstLine);
    },
    state: () => started && { layout: started.layout, counts: started.rows.counts },
    close: () => started?.rows.close(),
  };
}
