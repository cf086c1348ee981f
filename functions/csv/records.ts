import { isUtf8 } from 'node:buffer';
import { type CsvError, Parser } from 'csv-parse';
import { JobFailure } from '../job.ts';
import type { Dialect } from './dialect.ts';

/** A record that is still open after this many bytes is given up: most likely a quote was never closed. */
export const MAX_RECORD_BYTES = 2 * 1024 * 1024;
/** A record given up is read again from its second line on, some 50 ms each: no file may make us do that for long. */
export const MAX_BROKEN_RECORDS = 16;

export interface RecordHandlers {
  /** Called inside `feed` and `finish`; `current` tells about this record until the call returns. */
  record(fields: string[], current: CurrentRecord): void;
  /** A record that could not be read: only its first line is lost, reading goes on behind it. */
  broken(reason: 'unclosed_quote' | 'record_too_large', firstLine: string): void;
}

export interface CurrentRecord {
  /** Its size in the file. */
  bytes(): number;
  /** As it stands in the file. */
  text(): string;
  /** Whether it may hold NUL or U+FFFD (which broken UTF-8 becomes). False is certain. */
  suspect(): boolean;
}

export interface RecordReader {
  /** Reads a chunk of UTF-8; has called the handlers for every record that ends in it when it returns. */
  feed(chunk: Buffer): void;
  finish(): Promise<void>;
}

/**
 * csv-parse with what a file from a stranger needs: a bound on memory, and going on behind a broken record.
 * Records are taken from `push`, as csv-parse makes them: at that moment `info.bytes` is the exact end of the record,
 * which it no longer is when a record has been through the queue of a readable stream.
 * @throws JobFailure field_too_large from `feed` and `finish` after MAX_BROKEN_RECORDS.
 */
export function createRecordReader(dialect: Dialect, handlers: RecordHandlers): RecordReader {
  let parser: Parser;
  /** Offsets count from where the current parser started. */
  let start = 0;
  let end = 0;
  let fed = 0;
  let suspectEnd = 0;
  /** What was fed and not yet released: from the chunk in which the last record ended. */
  let held: Buffer[] = [];
  let heldFrom = 0;
  let broken = 0;
  let records = 0;
  /** Inside a line that was given up: drop everything up to its end. */
  let skipping = false;

  const current: CurrentRecord = {
    bytes: () => end - start,
    text: () => Buffer.concat(held).toString('utf8', start - heldFrom, end - heldFrom),
    suspect: () => start < suspectEnd,
  };

  function open(): void {
    [start, end, fed, suspectEnd, held, heldFrom] = [0, 0, 0, 0, [], 0];
    parser = new Parser({
      delimiter: dialect.delimiter,
      record_delimiter: dialect.lineEndings,
      relax_quotes: true,
      relax_column_count: true,
    });
    // finish() reports errors through the callback of end().
    parser.on('error', () => {});
    parser.push = (record: string[] | null) => {
      if (record === null) return false;
      start = end;
      end = parser.info.bytes;
      records++;
      handlers.record(record, current);
      return true;
    };
  }

  function feed(chunk: Buffer): void {
    let rest = chunk;
    if (skipping) {
      const next = lineEnd(rest);
      if (next === -1) return;
      skipping = false;
      rest = rest.subarray(next);
    }
    if (rest.length === 0) return;
    held.push(rest);
    fed += rest.length;
    if (!isUtf8(rest) || rest.includes(0) || rest.includes(REPLACEMENT)) suspectEnd = fed;
    parser.write(rest);
    release();
    if (fed - end > MAX_RECORD_BYTES) giveUpRecord();
  }

  function release(): void {
    while (held.length > 1 && heldFrom + (held[0] as Buffer).length <= end) heldFrom += (held.shift() as Buffer).length;
  }

  function lineEnd(bytes: Buffer): number {
    const at = bytes.indexOf(dialect.lineEndings.at(-1) as string);
    return at === -1 ? -1 : at + 1;
  }

  /** An unquoted line end always ends a record: an open record with a line end in it holds an open quote. */
  function giveUpRecord(): void {
    const tail = Buffer.concat(held).subarray(end - heldFrom);
    const next = lineEnd(tail);
    const atEnd = parser.writableEnded;
    const unclosed = next !== -1 || atEnd;
    if (++broken > MAX_BROKEN_RECORDS) {
      throw new JobFailure(
        'field_too_large',
        `After ${records} readable rows: more than ${MAX_BROKEN_RECORDS} rows open a quote that is never closed, ` +
          `or are larger than ${MAX_RECORD_BYTES} bytes. Check the quotes of the file.`,
      );
    }
    handlers.broken(unclosed ? 'unclosed_quote' : 'record_too_large', firstCharacters(tail, next));
    open();
    if (next === -1) {
      skipping = !atEnd;
      return;
    }
    for (let at = next; at < tail.length; at += SLICE_BYTES) feed(tail.subarray(at, at + SLICE_BYTES));
  }

  async function finish(): Promise<void> {
    for (;;) {
      const error = await new Promise<Error | null | undefined>((done) => parser.end(done));
      if (!error) return;
      if ((error as CsvError).code !== 'CSV_QUOTE_NOT_CLOSED') throw error;
      giveUpRecord();
    }
  }

  open();
  return { feed, finish };
}

const REPLACEMENT = Buffer.from('\uFFFD');
const SLICE_BYTES = 64 * 1024;

function firstCharacters(bytes: Buffer, lineEnd: number): string {
  const line = lineEnd === -1 ? bytes : bytes.subarray(0, lineEnd - 1);
  return line.toString('utf8', 0, Math.min(line.length, 1024)).replace(/\r$/, '');
}
