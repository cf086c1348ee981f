import type { IncomingMessage } from 'node:http';
import { RowhouseError } from '../../errors.ts';
import type { Stage } from '../pipeline.ts';

export interface BodyLimits {
  bytes: number;
  /** From when it is first asked for to its last byte. */
  timeoutMs: number;
}

/**
 * Reads a request's body whole. What is refused is not read on: answering closes the connection.
 * @throws RowhouseError request_too_large, request_timeout, request_invalid where the client has gone
 */
export function readBody(raw: IncomingMessage, { bytes, timeoutMs }: BodyLimits): Promise<Buffer> {
  const tooLarge = () => new RowhouseError('request_too_large', { detail: `A body can have ${bytes} bytes.` });
  if (Number(raw.headers['content-length']) > bytes) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const timer = setTimeout(() => refuse(new RowhouseError('request_timeout')), timeoutMs);

    function onData(chunk: Buffer): void {
      chunks.push(chunk);
      size += chunk.length;
      if (size > bytes) refuse(tooLarge());
    }
    function onEnd(): void {
      leave();
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size));
    }
    function onGone(cause?: Error): void {
      refuse(new RowhouseError('request_invalid', { detail: 'The body ended before its time.', cause }));
    }
    function refuse(error: RowhouseError): void {
      leave();
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

const hasBody = (method: string) => method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS';

/**
 * Takes in the body before anything is held for the request: a slow client waits by itself, not in its tenant's queue nor on a
 * connection of PostgREST's, and what goes on has one length, known and checked.
 */
export const receiveBody: Stage = async (exchange, next) => {
  if (hasBody(exchange.method)) await exchange.body();
  return next();
};
