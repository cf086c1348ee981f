import { once } from 'node:events';
import { addAbortSignal, PassThrough } from 'node:stream';
import type { JobContext, OutputFile, StoredFile } from '../job.ts';
import { neutralise, startsFormula } from './formula.ts';
import { parseNumber } from './number.ts';

export interface CsvOutput {
  /** Queues a row. Cells that a spreadsheet would run are neutralised, unless `numeric[i]` and it is a number. */
  row(cells: readonly string[], numeric?: readonly boolean[]): void;
  /** Writes what is queued and waits while storage is behind. Rejects when storage failed. */
  flush(): Promise<void>;
  close(): Promise<StoredFile>;
  /** Gives the file up. Resolves when storage has let go of it. */
  abort(error: unknown): Promise<void>;
  neutralised(): number;
}

/** A CSV file (RFC 4180 quoting, comma, UTF-8, LF) that streams into the job's storage as it is written. */
export function openCsvOutput(context: JobContext, file: OutputFile): CsvOutput {
  const stream = addAbortSignal(context.signal, new PassThrough());
  // Failures reach the caller through flush, close and abort; without a listener they would end the process.
  stream.on('error', () => {});
  const stored = context.createFile(file, stream);
  stored.then(
    () => stream.writableEnded || stream.destroy(new Error('Storage stopped reading before the file was complete')),
    (error) => stream.destroy(error),
  );
  let queued = '';
  let neutralised = 0;

  async function flush(): Promise<void> {
    if (stream.errored) throw stream.errored;
    if (queued === '') return;
    const text = queued;
    queued = '';
    if (!stream.write(text)) await once(stream, 'drain', { signal: context.signal });
  }

  return {
    row(cells, numeric) {
      for (let i = 0; i < cells.length; i++) {
        let cell = cells[i] as string;
        if (startsFormula(cell) && !(numeric?.[i] && !Number.isNaN(parseNumber(cell)))) {
          neutralised++;
          cell = neutralise(cell);
        }
        queued += i === 0 ? quoted(cell) : `,${quoted(cell)}`;
      }
      queued += '\n';
    },
    flush,
    async close() {
      await flush();
      stream.end();
      return stored;
    },
    async abort(error) {
      stream.destroy(error instanceof Error ? error : new Error(String(error)));
      await stored.catch(() => {});
    },
    neutralised: () => neutralised,
  };
}

const NEEDS_QUOTES = /[",\r\n]/;

/** RFC 4180. csv-stringify takes five times as long, and the rows it has to be handed in batches cost 60 MB. */
function quoted(cell: string): string {
  return NEEDS_QUOTES.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
