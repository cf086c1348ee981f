import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import compress from '@fastify/compress';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Answer } from '../pipeline.ts';

/** Below this, what is saved fits into the same packets. */
export const WORTH_BYTES = 2048;
/** Compressed at once; what is larger, beside the event loop: 16 KB of JSON take a quarter of a millisecond. */
const AT_ONCE_BYTES = 16 * 1024;

export const COMPRESSIBLE = /^(?:text\/|application\/(?:[\w.+-]+\+)?(?:json|xml))/;
const ENCODED = /\b(?:br|gzip)\b|\*/;

export type Encoding = 'br' | 'gzip';

/** Not refused by a weight of nought. */
const BR = /\bbr\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/;
const GZIP = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/;

/** Of what is kept in both. @param accepted Accept-Encoding */
export const encodingOf = (accepted: string): Encoding | undefined =>
  BR.test(accepted) ? 'br' : GZIP.test(accepted) ? 'gzip' : undefined;

const brotliAsync = promisify(brotliCompress);
const gzipAsync = promisify(gzip);
/** As @fastify/compress: the quality at which brotli is as quick as gzip. */
const QUALITY = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };

/** Beside the event loop. */
export const compressed = (encoding: Encoding, body: Buffer): Promise<Buffer> =>
  encoding === 'br' ? brotliAsync(body, QUALITY) : gzipAsync(body);

/** Gives replies compress(), and does nothing by itself: most answers are small, and most clients between machines do not ask. */
export function allowCompression(server: FastifyInstance): void {
  server.register(compress, {
    global: false,
    globalDecompression: false,
    encodings: ['br', 'gzip'],
    threshold: WORTH_BYTES,
    syncThreshold: AT_ONCE_BYTES,
  });
}

/** Sends a body, compressed where the client asks for it and it pays. Headers and status are set. */
export function sendBody(request: FastifyRequest, reply: FastifyReply, body: Answer['body'] | null): FastifyReply {
  const asked = request.headers['accept-encoding'];
  if (body === null || asked === undefined || !ENCODED.test(asked)) return reply.send(body);
  if (Buffer.isBuffer(body) && body.length < WORTH_BYTES) return reply.send(body);
  const noTransform = String(reply.getHeader('cache-control') ?? '').includes('no-transform');
  if (
    noTransform ||
    reply.hasHeader('content-encoding') ||
    !COMPRESSIBLE.test(String(reply.getHeader('content-type')))
  ) {
    return reply.send(body);
  }
  // A strong tag would promise the same bytes with and without encoding (RFC 9110, 8.8.3.3).
  const tag = reply.getHeader('etag');
  if (typeof tag === 'string' && tag.startsWith('"')) reply.header('etag', `W/${tag}`);
  reply.compress(body);
  return reply;
}
