import { RowhouseError } from '../../errors.ts';
import type { Exchange, Stage } from '../pipeline.ts';

export interface BodyLimits {
  bytes: number;
  /** From when it is first asked for to its last byte. */
  timeoutMs: number;
  room: BodyRoom;
}

/** What bodies take of memory while they come in and are carried out. */
export interface BodyRoom {
  /** @returns whether there was room */
  take(owner: string, bytes: number): boolean;
  give(owner: string, bytes: number): void;
}

/** @param total for all bodies; those of one tenant have a quarter of it, so that its slow uploads leave room for others' */
export function createBodyRoom(total: number): BodyRoom {
  const held = new Map<string, number>();
  let all = 0;
  return {
    take(owner, bytes) {
      const own = (held.get(owner) ?? 0) + bytes;
      if (own > total / 4 || all + bytes > total) return false;
      held.set(owner, own);
      all += bytes;
      return true;
    },
    give(owner, bytes) {
      const own = (held.get(owner) ?? 0) - bytes;
      if (own > 0) held.set(owner, own);
      else held.delete(owner);
      all -= bytes;
    },
  };
}

/** An operator's, and nobody's: nothing is read without a token. */
const ownerOf = ({ caller }: Exchange) => caller?.tenantId ?? '';

/**
 * Reads a request's body whole, and keeps its bytes taken of the room. What is refused is not read on: answering closes the connection.
 * @throws RowhouseError request_too_large, request_timeout, overloaded, request_invalid where the client has gone
 */
export function readBody(exchange: Exchange, { bytes, timeoutMs, room }: BodyLimits): Promise<Buffer> {
  const { raw } = exchange.request;
  const owner = ownerOf(exchange);
  const tooLarge = () => new RowhouseError('request_too_large', { detail: `A body can have ${bytes} bytes.` });
  if (Number(raw.headers['content-length']) > bytes) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const timer = setTimeout(() => refuse(new RowhouseError('request_timeout')), timeoutMs);

    function onData(chunk: Buffer): void {
      // Counted as it comes: a length that is only announced would keep others out for nothing.
      if (!room.take(owner, chunk.length)) {
        refuse(overloaded());
        return;
      }
      chunks.push(chunk);
      size += chunk.length;
      if (size > bytes) refuse(tooLarge());
    }
    function onEnd(): void {
      leave();
      const whole = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size);
      // Whoever asked gives it back from now on, also where the connection breaks later.
      size = 0;
      resolve(whole);
    }
    function onGone(cause?: Error): void {
      refuse(new RowhouseError('request_invalid', { detail: 'The body ended before its time.', cause }));
    }
    function refuse(error: RowhouseError): void {
      leave();
      room.give(owner, size);
      size = 0;
      chunks.length = 0;
      raw.pause();
      reject(error);
    }
    function leave(): void {
      clearTimeout(timer);
      raw.off('data', onData).off('end', onEnd).off('close', onGone);
    }
    raw.on('data', onData).on('end', onEnd).on('close', onGone);
    // Stays: a connection that breaks after its request was refused must not end the process.
    raw.on('error', onGone);
  });
}

const overloaded = () =>
  new RowhouseError('overloaded', {
    detail: 'Too many bytes of requests are in hand.',
    hint: 'Send fewer requests at once.',
    headers: { 'Retry-After': '1' },
  });

const hasBody = (method: string) => method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS';

/**
 * Takes in the body before anything is held for the request: a slow client waits by itself, not in its tenant's queue nor on a
 * connection of PostgREST's, and what goes on has one length, known and checked.
 */
export const receiveBody =
  (room: BodyRoom): Stage =>
  async (exchange, next) => {
    if (!hasBody(exchange.method)) return next();
    const { length } = await exchange.body();
    try {
      return await next();
    } finally {
      room.give(ownerOf(exchange), length);
    }
  };
