import { brotliCompress, constants, gzip } from 'node:zlib';
import { COMPRESSIBLE, WORTH_BYTES } from '../front-door/compression.ts';
import type { Answer } from '../pipeline.ts';

type Encoding = 'br' | 'gzip';

/** Compressed forms of a kept answer: made once, when a client first asks for one. */
export interface Packed {
  br?: Answer;
  gzip?: Answer;
  making: boolean;
}

/** Not refused by a weight of nought. */
const BR = /\bbr\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/;
const GZIP = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/;
/** As @fastify/compress: the quality at which brotli is as quick as gzip. */
const QUALITY = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };

export const isPackable = (type: string | string[] | undefined, size: number): boolean =>
  size >= WORTH_BYTES && COMPRESSIBLE.test(String(type));

/** The answer in an encoding that the client takes, where it is made already; else as it is, to be compressed on the way out. */
export function packedFor(packed: Packed, plain: Answer, accepted: string): Answer {
  const encoding = BR.test(accepted) ? 'br' : GZIP.test(accepted) ? 'gzip' : undefined;
  if (encoding === undefined) return plain;
  const made = packed[encoding];
  if (made || packed.making) return made ?? plain;
  packed.making = true;
  const done = (error: Error | null, body: Buffer) => {
    packed.making = false;
    if (!error) packed[encoding] = packedAnswer(plain, encoding, body);
  };
  if (encoding === 'br') brotliCompress(plain.body as Buffer, QUALITY, done);
  else gzip(plain.body as Buffer, done);
  return plain;
}

function packedAnswer({ status, headers }: Answer, encoding: Encoding, body: Buffer): Answer {
  const length = String(body.length);
  // The strong tag promises the bytes of the plain form (RFC 9110, 8.8.3.3).
  const changed = { 'content-encoding': encoding, 'content-length': length, etag: `W/${headers.etag}` };
  return { status, headers: { ...headers, ...changed }, body };
}
