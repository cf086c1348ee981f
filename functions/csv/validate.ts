import { addAbortSignal } from 'node:stream';
import { type JobContext, JobFailure, type OpenedFile, openInputFile } from '../job.ts';
import { type Delimiter, detectDialect } from './dialect.ts';
import type { Encoding } from './encoding.ts';
import { createFindings, type FindingsCounts, storable } from './findings.ts';
import type { ValidationInput } from './input.ts';
import { type CsvOutput, openCsvOutput } from './output.ts';
import { createRecordReader } from './records.ts';
import { openTextSource } from './source.ts';
import { createTable } from './table.ts';

export interface ValidationResult extends FindingsCounts {
  /** Data rows, header and blank lines not counted. */
  rows: number;
  valid_rows: number;
  /** Rows with at least one finding of severity error. */
  invalid_rows: number;
  /** Column → kind of correction → how many. */
  corrections: Record<string, Record<string, number>>;
  /** Cells written with a leading apostrophe, in the repaired file and in the report. */
  neutralised: number;
  duplicates_removed: number;
  encoding: Encoding;
  delimiter: Delimiter;
  columns: string[];
  report_file_id: string;
  repaired_file_id?: string;
  bytes: number;
  duration_ms: number;
}

const PROGRESS_MS = 250;

/**
 * Streams a CSV file, checks every row, and writes a report and, if asked, a repaired file. Bad data is a result.
 * @throws JobFailure file_not_found, file_pending, file_empty, file_unreadable, field_too_large; or, when the job is
 * cancelled, the reason of the signal.
 */
export async function validateCsv(input: ValidationInput, context: JobContext): Promise<ValidationResult> {
  const file = await openInputFile(context, input.file_id);
  const outputs: CsvOutput[] = [];
  try {
    addAbortSignal(context.signal, file.stream);
    return await run(input, context, file, outputs);
  } catch (error) {
    const cause = context.signal.aborted ? context.signal.reason : error;
    await Promise.all(outputs.map((output) => output.abort(cause)));
    throw cause;
  } finally {
    file.stream.destroy();
  }
}

async function run(
  input: ValidationInput,
  context: JobContext,
  file: OpenedFile,
  outputs: CsvOutput[],
): Promise<ValidationResult> {
  const started = performance.now();
  const source = await openTextSource(file.stream, input.encoding);
  const names = input.columns.map((column) => column.name);
  const dialect = detectDialect(source.sample, input.delimiter, names);

  const report = openOutput('report');
  const repaired = input.repair ? openOutput('repaired') : undefined;
  const findings = createFindings(context, report, input.max_findings);
  const table = createTable(input, findings, repaired);
  const reader = createRecordReader(dialect, table);

  let reported = performance.now();
  try {
    for await (const chunk of source.chunks()) {
      context.signal.throwIfAborted();
      reader.feed(chunk);
      await flush();
      if (performance.now() - reported >= PROGRESS_MS) await progress();
    }
    await reader.finish();
  } finally {
    table.close();
  }
  const state = table.state();
  if (!state) throw new JobFailure('file_empty', 'The file holds nothing but blank lines.');
  const found = await findings.close();
  const storedReport = await report.close();
  const storedRepaired = await repaired?.close();
  await progress();

  const { layout, counts } = state;
  return {
    rows: counts.rows,
    valid_rows: counts.valid_rows,
    invalid_rows: counts.rows - counts.valid_rows,
    ...found,
    corrections: Object.fromEntries([...counts.corrections].map(([name, kinds]) => [name, Object.fromEntries(kinds)])),
    neutralised: report.neutralised() + (repaired?.neutralised() ?? 0),
    duplicates_removed: counts.duplicates_removed,
    encoding: source.encoding,
    delimiter: dialect.delimiter,
    columns: layout.names.map(storable),
    report_file_id: storedReport.id,
    ...(storedRepaired ? { repaired_file_id: storedRepaired.id } : {}),
    bytes: source.bytesRead(),
    duration_ms: Math.round(performance.now() - started),
  };

  function openOutput(kind: 'report' | 'repaired'): CsvOutput {
    const name = `${file.name.replace(/\.[^.]*$/, '')}-${kind}.csv`;
    const output = openCsvOutput(context, { kind, name, contentType: 'text/csv; charset=utf-8' });
    outputs.push(output);
    return output;
  }

  async function flush(): Promise<void> {
    await findings.flush();
    await repaired?.flush();
  }

  async function progress(): Promise<void> {
    reported = performance.now();
    const rows = table.state()?.counts.rows ?? 0;
    await context.reportProgress({ bytes: source.bytesRead(), total_bytes: file.size, rows });
  }
}
