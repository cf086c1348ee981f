import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import replyFrom from '@fastify/reply-from';
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify';
import type { Pool } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Storage } from '../storage/storage.ts';
import { serveHealth } from './health.ts';
import { serveObjects } from './objects.ts';
import { forwardTo } from './postgrest.ts';
import { faultOfError, problemOf } from './problem.ts';
import { pathOf, sendProblem } from './reply.ts';
import { serveUploads, type UploadSettings } from './uploads.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The body may take as long as it keeps coming. */
    longBody?: boolean;
  }
}

export interface EdgeParts {
  log: Logger;
  pool: Pool;
  storage: Storage;
  postgrestUrl: string;
  uploads: UploadSettings;
}

const JSON_BODY_BYTES = 1024 * 1024;
const HEADERS_MS = 15_000;
const IDLE_MS = 60_000;
const BODY_MS = 300_000;

/** A request that is not HTTP, or too slow or large in its headers, never reaches a route. */
function refuseClient(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return;
  const status = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }[error.code ?? ''] ?? 400;
  const body = JSON.stringify(problemOf({ code: 'request_invalid', status }, '/'));
  const head = ['Content-Type: application/problem+json', `Content-Length: ${body.length}`, 'Connection: close'];
  socket.end([`HTTP/1.1 ${status} Refused`, ...head, '', body].join('\r\n'));
}

function setCommonHeaders(request: FastifyRequest, reply: FastifyReply): void {
  reply.headers({
    'x-request-id': request.id,
    'x-content-type-options': 'nosniff',
    // A signed URL must not travel on in a Referer.
    'referrer-policy': 'no-referrer',
  });
}

function refuseSecondToken(request: FastifyRequest): void {
  const names = request.raw.rawHeaders.filter((name, index) => index % 2 === 0 && /^authorization$/i.test(name));
  // Node would keep the first and drop the others without a word.
  if (names.length > 1) throw new RowhouseError('request_invalid', { detail: 'More than one Authorization header.' });
}

/** Why something is unavailable, in one line: during an outage every request says it. */
function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause instanceof Error ? error.cause.message : undefined;
}

function limitBodyTime(request: FastifyRequest): void {
  if (request.raw.complete || request.routeOptions.config.longBody) return;
  const timer = setTimeout(() => request.raw.destroy(), BODY_MS);
  for (const event of ['end', 'close']) request.raw.once(event, () => clearTimeout(timer));
}

/** The edge with all of its routes, not yet listening. Closing it leaves the pool to its owner. */
export function createServer({ log, pool, storage, postgrestUrl, uploads }: EdgeParts): FastifyInstance {
  const server = fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    bodyLimit: JSON_BODY_BYTES,
    connectionTimeout: IDLE_MS,
    http: { headersTimeout: HEADERS_MS, requestTimeout: 0 },
    // What arrives while draining is still answered; the connection closes after it.
    return503OnClosing: false,
    requestIdHeader: false,
    genReqId: ({ headers }) => {
      const given = headers['x-request-id'];
      return typeof given === 'string' && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID();
    },
    frameworkErrors: (error, request, reply) => {
      setCommonHeaders(request, reply);
      sendProblem(request, reply, faultOfError(error));
    },
    clientErrorHandler: refuseClient,
  });

  server.addHook('onRequest', async (request, reply) => {
    setCommonHeaders(request, reply);
    limitBodyTime(request);
    refuseSecondToken(request);
  });
  let draining = false;
  server.addHook('preClose', async () => {
    draining = true;
  });
  // Otherwise an answer given while draining leaves its connection open, and the drain waits for the client to go.
  server.addHook('onSend', async (_request, reply) => {
    if (draining) reply.header('connection', 'close');
  });
  server.addHook('onResponse', async (request, reply) => {
    const ms = Math.round(reply.elapsedTime * 10) / 10;
    request.log.info({ method: request.method, path: pathOf(request), status: reply.statusCode, ms }, 'request');
  });
  server.setErrorHandler((error, request, reply) => {
    const fault = faultOfError(error);
    if (fault.code === 'internal') request.log.error({ err: error }, 'request failed');
    else if (problemOf(fault, '').status >= 500)
      request.log.warn({ code: fault.code, cause: causeOf(error) }, 'request failed');
    return sendProblem(request, reply, fault);
  });
  server.setNotFoundHandler((request, reply) => sendProblem(request, reply, { code: 'not_found' }));

  server.register(replyFrom, {
    base: postgrestUrl,
    destroyAgent: true,
    disableRequestLogging: true,
    undici: { connections: 64, keepAliveTimeout: 10_000, headersTimeout: IDLE_MS, connect: { timeout: 2000 } },
  });
  serveHealth(server, pool, postgrestUrl);
  serveUploads(server, pool, storage, uploads);
  if (storage.kind === 'fs') serveObjects(server, pool, storage);
  forwardTo(server, '/v1', 'v1');
  forwardTo(server, '/admin/v1', 'admin');
  return server;
}
