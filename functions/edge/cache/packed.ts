import { COMPRESSIBLE, compressed, type Encoding, encodingOf, WORTH_BYTES } from '../front-door/compression.ts';
import type { Answer } from '../pipeline.ts';

/** Compressed forms of a kept answer: made once, when a client first asks for one. */
export interface Packed {
  br?: Answer;
  gzip?: Answer;
  making: boolean;
}

export const isPackable = (type: string | string[] | undefined, size: number): boolean =>
  size >= WORTH_BYTES && COMPRESSIBLE.test(String(type));

/** The answer in an encoding that the client takes, where it is made already; else as it is, to be compressed on the way out. */
export function packedFor(packed: Packed, plain: Answer, accepted: string): Answer {
  const encoding = encodingOf(accepted);
  if (encoding === undefined) return plain;
  const made = packed[encoding];
  if (made || packed.making) return made ?? plain;
  packed.making = true;
  compressed(encoding, plain.body as Buffer)
    .then((body) => {
      packed[encoding] = packedAnswer(plain, encoding, body);
    })
    .catch(() => {})
    .finally(() => {
      packed.making = false;
    });
  return plain;
}

function packedAnswer({ status, headers }: Answer, encoding: Encoding, body: Buffer): Answer {
  const length = String(body.length);
  // The strong tag promises the bytes of the plain form (RFC 9110, 8.8.3.3).
  const changed = { 'content-encoding': encoding, 'content-length': length, etag: `W/${headers.etag}` };
  return { status, headers: { ...headers, ...changed }, body };
}
