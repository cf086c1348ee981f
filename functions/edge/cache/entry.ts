import { createHash } from 'node:crypto';
import type { Answer, Exchange } from '../pipeline.ts';
import { namesTag } from './directives.ts';
import { isPackable, type Packed, packedFor } from './packed.ts';

type Headers = Answer['headers'];

/** For whoever keeps answers on the way: one caller's, and to be asked for again before each use. */
const CACHE_CONTROL = 'private, no-cache';
/** What besides the address decides an answer. */
const VARY = 'Accept, Accept-Encoding, Authorization, Origin, Prefer, Range, Range-Unit';
/** Maps, headers and bookkeeping of one answer, about. */
const OVERHEAD_BYTES = 1500;
const NOTHING = Buffer.alloc(0);
/** It has just been compared with the database: as RFC 9111, 5.1 counts, it is nought seconds old. */
const HIT = { 'x-cache': 'HIT', age: '0' };
const MISS = { 'x-cache': 'MISS' };

/** Of every GET, whether it may be kept or not. */
export const COMMON_HEADERS = { 'cache-control': CACHE_CONTROL, vary: VARY } as const;

/** A kept answer as it goes out. What goes out once, or is next to nothing, is made when it is needed. */
export interface Forms {
  tag: string;
  hit: Answer;
  /** Undefined where it does not pay. */
  packed: Packed | undefined;
  bytes: number;
}

/** @param headers PostgREST's, with its body whole */
export function formsOf(headers: Headers, received: Buffer, key: string): Forms {
  const tag = `"${tagOf(headers, received)}"`;
  const own: Headers = {};
  // CORS is the edge's to answer, and differs with the Origin that asked.
  for (const name in headers) if (!name.startsWith('access-control-')) own[name] = headers[name] as string;
  const packable = isPackable(headers['content-type'], received.length);
  return {
    tag,
    hit: {
      status: 200,
      headers: Object.assign(own, COMMON_HEADERS, HIT, { etag: tag, 'content-length': String(received.length) }),
      // A copy: what was received is often a part of a far larger piece of memory, which would be kept with it.
      body: Buffer.from(received),
    },
    packed: packable ? { making: false } : undefined,
    bytes: received.length * (packable ? 2 : 1) + key.length + OVERHEAD_BYTES,
  };
}

/** The answer, or 304 where the client has it already. @param isHit whether PostgREST was not asked */
export function give({ tag, hit, packed }: Forms, { headers }: Exchange, isHit: boolean): Answer {
  const known = headers['if-none-match'];
  const origin = isHit ? HIT : MISS;
  if (known !== undefined && namesTag(known, tag)) {
    return { status: 304, headers: { ...COMMON_HEADERS, ...origin, etag: tag }, body: NOTHING };
  }
  if (!isHit) {
    const { age: _age, ...asked } = hit.headers;
    return { status: 200, headers: Object.assign(asked, MISS), body: hit.body };
  }
  const accepted = headers['accept-encoding'];
  return packed && accepted !== undefined ? packedFor(packed, hit, accepted) : hit;
}

/** What a client would see differ: the body, its type, and which part of how many rows it is. */
function tagOf(headers: Headers, body: Buffer): string {
  const hash = createHash('sha256');
  hash.update(`${headers['content-type']}\n${headers['content-range']}\n`).update(body);
  return hash.digest('base64url').slice(0, 27);
}
