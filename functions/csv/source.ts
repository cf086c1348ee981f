import type { Readable } from 'node:stream';
import { JobFailure } from '../job.ts';
import { detectEncoding, type Encoding, toUtf8 } from './encoding.ts';

/** What encoding, delimiter and line endings are judged by. */
const SAMPLE_BYTES = 256 * 1024;
/** Larger chunks are cut, so that progress, backpressure and cancellation keep their pace. */
const MAX_CHUNK = 256 * 1024;

export interface TextSource {
  encoding: Encoding;
  /** Start of the file as text, to detect the dialect from. */
  sample: string;
  /** The whole file, the sample included, in UTF-8. */
  chunks(): AsyncGenerator<Buffer>;
  /** Bytes of the file read so far. */
  bytesRead(): number;
}

/**
 * Opens a byte stream as UTF-8 text.
 * @throws JobFailure file_empty, file_unreadable
 */
export async function openTextSource(stream: Readable, declared: Encoding | 'auto'): Promise<TextSource> {
  const input: AsyncIterator<Buffer | string> = stream[Symbol.asyncIterator]();
  let bytes = 0;

  async function read(): Promise<Buffer | undefined> {
    const { done, value } = await input.next();
    if (done) return undefined;
    const chunk = Buffer.isBuffer(value) ? value : Buffer.from(value);
    bytes += chunk.length;
    return chunk;
  }

  const first: Buffer[] = [];
  for (let length = 0; length < SAMPLE_BYTES; ) {
    const chunk = await read();
    if (!chunk) break;
    first.push(chunk);
    length += chunk.length;
  }
  const start = Buffer.concat(first);
  const { encoding, bomBytes } = detectEncoding(start.subarray(0, SAMPLE_BYTES), declared);
  const sample = toUtf8(encoding)(start.subarray(bomBytes, SAMPLE_BYTES)).toString();
  if (sample.trim() === '' && start.length < SAMPLE_BYTES) {
    throw new JobFailure('file_empty', 'The file holds no data. Upload a file with a header and rows.');
  }

  async function* chunks(): AsyncGenerator<Buffer> {
    const convert = toUtf8(encoding);
    for (let chunk: Buffer | undefined = start.subarray(bomBytes); chunk; chunk = await read()) {
      for (let at = 0; at < chunk.length; at += MAX_CHUNK) yield convert(chunk.subarray(at, at + MAX_CHUNK));
    }
    yield convert();
  }

  return { encoding, sample, chunks, bytesRead: () => bytes };
}
