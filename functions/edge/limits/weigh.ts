import { finished, type Readable, Transform } from 'node:stream';
import type { Answer } from '../pipeline.ts';

/** What one unit pays for; beyond it an answer costs more, by the larger of the two. */
const UNIT_BYTES = 64 * 1024;
const UNIT_MS = 50;

const extraUnits = (bytes: number, ms: number) => Math.max(bytes / UNIT_BYTES, ms / UNIT_MS, 1) - 1;

/**
 * Charges for an answer when its size is known: at once, or when its body was read or given up.
 * @param ms how long PostgREST took
 * @param charge gets the units beyond the one that the request has paid
 */
export function weigh(answer: Answer, ms: number, charge: (units: number) => void): Answer {
  const length = Buffer.isBuffer(answer.body)
    ? answer.body.length
    : Number(answer.headers['content-length'] ?? Number.NaN);
  if (length >= 0) {
    charge(extraUnits(length, ms));
    return answer;
  }
  let bytes = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      done(null, chunk);
    },
  });
  const body = answer.body as Readable;
  finished(counter, (error) => {
    if (error) body.destroy();
    charge(extraUnits(bytes, ms));
  });
  body.on('error', (error) => counter.destroy(error));
  return { ...answer, body: body.pipe(counter) };
}
