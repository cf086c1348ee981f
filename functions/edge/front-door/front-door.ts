import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest, RawRequestDefaultExpression } from 'fastify';
import { RowhouseError } from '../../errors.ts';
import { traceparentOf } from '../../trace.ts';
import { sendProblem } from '../reply.ts';
import { allowCompression } from './compression.ts';
import { answerBefore, watchConnections } from './connections.ts';
import type { Cors } from './cors.ts';
import { SECURITY_HEADERS } from './security-headers.ts';
import { refuseAmbiguous } from './strictness.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** W3C Trace Context: the client's, or a new one. */
    traceparent: string;
  }
  interface FastifyContextConfig {
    /** The body may take as long as it keeps coming. */
    longBody?: boolean;
    /** The route reads its body by itself, and limits how long that takes. */
    readsBody?: boolean;
    /** The answer is marked by the caller's tenant, not by the host's. */
    corsByCaller?: boolean;
  }
}

export interface Timeouts {
  headersMs: number;
  bodyMs: number;
  idleMs: number;
}

/** How often connections are looked at that are late with their headers. */
const CHECK_MS = 1000;

/** The client's id where it has a plain one, for its own logs and ours. */
export function requestIdOf({ headers }: RawRequestDefaultExpression): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID();
}

/** Options of Fastify that make slow clients wait for nothing but themselves. */
export const listenerOptions = ({ headersMs, idleMs }: Timeouts) => ({
  connectionTimeout: idleMs,
  http: { headersTimeout: headersMs, requestTimeout: 0, connectionsCheckingInterval: CHECK_MS },
});

export function setCommonHeaders(request: FastifyRequest, reply: FastifyReply): void {
  reply.headers(SECURITY_HEADERS).header('x-request-id', request.id);
}

function limitBodyTime(request: FastifyRequest, reply: FastifyReply, bodyMs: number): void {
  const { raw } = request;
  const { longBody, readsBody } = request.routeOptions.config;
  if (raw.complete || longBody || readsBody) return;
  const timer = setTimeout(() => {
    if (!reply.sent) sendProblem(request, reply, { code: 'request_timeout' });
  }, bodyMs);
  for (const event of ['end', 'close']) raw.once(event, () => clearTimeout(timer));
}

/** What every request passes and every answer carries. @returns what begins the end: /readyz then says that it is coming */
export function openFrontDoor(server: FastifyInstance, { cors, timeouts }: { cors: Cors; timeouts: Timeouts }) {
  let draining = false;
  const drain = () => {
    draining = true;
  };

  server.decorateRequest('traceparent', '');
  // With callbacks: an async hook costs a turn of the queue on every request.
  server.addHook('onRequest', (request, reply, done) => {
    setCommonHeaders(request, reply);
    request.traceparent = traceparentOf(request.headers.traceparent);
    try {
      refuseAmbiguous(request.raw);
    } catch (error) {
      return done(error as Error);
    }
    limitBodyTime(request, reply, timeouts.bodyMs);
    // Before Fastify takes in a body that nobody is going to look at.
    const pass = () => done(request.is404 ? new RowhouseError('not_found') : undefined);
    const proceed = () => {
      const answered = cors.onRequest(request, reply);
      if (answered === false) return pass();
      Promise.resolve(answered).then((isAnswered) => isAnswered || pass(), done);
    };
    const before = answerBefore(request.raw);
    if (!before) return proceed();
    // A connection that has ended takes no answer any more: what waited on it is not carried out (RFC 9112, 9.6).
    before.once('close', () => request.raw.socket.writable && proceed());
  });
  // Otherwise an answer given while draining leaves its connection open, and the drain waits for the client to go.
  server.addHook('onSend', (_request, reply, payload, done) => {
    if (draining) reply.header('connection', 'close');
    done(null, payload);
  });
  server.addHook('preClose', (done) => {
    drain();
    done();
  });
  watchConnections(server.server);
  allowCompression(server);
  return { drain, isDraining: () => draining };
}
