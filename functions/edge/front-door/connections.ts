import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { problemOf } from '../problem.ts';
import { METHODS } from './strictness.ts';

/** What is not a request yet, and so never reaches a route. */

const REFUSALS: Record<string, readonly [status: number, reason: string]> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Content Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
};
const CODES = { 405: 'method_not_allowed', 408: 'request_timeout', 413: 'request_too_large' } as const;

interface InHand {
  request: IncomingMessage;
  response: ServerResponse;
}

const inHand = new WeakMap<Socket, InHand>();

/** One that waits behind others has no socket yet, so the socket does not tell. */
const isOpen = (response: ServerResponse | undefined): response is ServerResponse =>
  response !== undefined && !response.writableFinished && !response.destroyed;

/**
 * The answer that a pipelined request has to wait for, if there is one. Node hands out requests as they come in and orders the answers
 * alone: a read behind a write would not see it (RFC 9112, 9.3.2).
 */
export function answerBefore({ socket }: IncomingMessage): ServerResponse | undefined {
  const before = inHand.get(socket)?.response;
  return isOpen(before) ? before : undefined;
}

function endWith(socket: Socket, status: number, reason: string, extra: string[] = []): void {
  const code = CODES[status as keyof typeof CODES] ?? 'request_invalid';
  const body = JSON.stringify(problemOf({ code, status }, '/'));
  const head = [
    'Content-Type: application/problem+json',
    `Content-Length: ${body.length}`,
    'Connection: close',
    ...extra,
  ];
  socket.end([`HTTP/1.1 ${status} ${reason}`, ...head, '', body].join('\r\n'));
}

/** Fastify's clientErrorHandler: bytes that are not HTTP, headers that are too large or too slow. */
export function refuseClient(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const { request, response } = inHand.get(socket) ?? {};
  // What is wrong came behind a request that was right: a refusal now would be taken for its answer.
  if (isOpen(response) && (request?.complete || response.headersSent)) {
    response.shouldKeepAlive = false;
    response.once('close', () => socket.end());
    return;
  }
  endWith(socket, ...(REFUSALS[error.code ?? ''] ?? ([400, 'Bad Request'] as const)));
}

export function watchConnections(server: Server): void {
  // Behind Fastify, which asks for the answer before.
  server.on('request', (request, response) => inHand.set(request.socket, { request, response }));
  // Node would drop what stands behind the 2,000th without a word; the front door counts, and so does the limit of the head's bytes.
  server.maxHeadersCount = 0;
  // Node would answer by itself, with nothing but a status; the front door refuses it as it refuses others.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  // No request to Node: without a listener it would close the connection without a word.
  server.on('connect', (_request, socket: Socket) => {
    endWith(socket, 405, 'Method Not Allowed', [`Allow: ${[...METHODS].join(', ')}`]);
  });
}
