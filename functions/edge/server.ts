import { type FastifyBaseLogger, type FastifyInstance, fastify, LogController } from 'fastify';
import type { Pool } from '../database.ts';
import type { Logger } from '../log.ts';
import type { Storage } from '../storage/storage.ts';
import { traceIdOf } from '../trace.ts';
import { createAccessLog } from './access-log.ts';
import { createAdvice } from './advice.ts';
import { serveApi } from './api.ts';
import { serveDocs } from './docs/docs.ts';
import { serveEventTypes } from './event-types.ts';
import type { BodyRoom } from './front-door/body.ts';
import { refuseClient } from './front-door/connections.ts';
import type { Cors } from './front-door/cors.ts';
import {
  listenerOptions,
  openFrontDoor,
  requestIdOf,
  setCommonHeaders,
  type Timeouts,
} from './front-door/front-door.ts';
import { serveHealth } from './health.ts';
import { serveObjects } from './objects.ts';
import { compose, type Forward, type Stage } from './pipeline.ts';
import { faultOfError, isOurs } from './problem.ts';
import { sendProblem } from './reply.ts';
import { type StreamRoute, serveStream } from './stream/serve.ts';
import type { Tokens } from './tokens/tokens.ts';
import { serveUploads, type UploadSettings } from './uploads.ts';

export interface EdgeParts {
  log: Logger;
  pool: Pool;
  storage: Storage;
  /** Rejects unless PostgREST answers. */
  checkPools(): Promise<void>;
  uploads: UploadSettings;
  tokens: Tokens;
  /** What a request passes on its way to PostgREST, the first one outermost. */
  stages: readonly Stage[];
  forward: Forward;
  streams: Omit<StreamRoute, 'body'>;
  cors: Cors;
  timeouts: Timeouts;
  /** The largest body that is taken. Uploads have a limit of their own. */
  bodyBytes: number;
  bodyRoom: BodyRoom;
}

export interface Edge {
  server: FastifyInstance;
  /** Begins the end: /readyz says so from now on, connections close after their answers, and new ones are still taken. */
  drain(): void;
}

/** Why something is unavailable, in one line: during an outage every request says it. */
function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause instanceof Error ? error.cause.message : undefined;
}

/** The edge with all of its routes, not yet listening. Closing it leaves the pool to its owner. */
export function createServer(parts: EdgeParts): Edge {
  const { log, pool, storage, checkPools, uploads, tokens, stages, forward, streams, cors, timeouts } = parts;
  const { bodyBytes, bodyRoom } = parts;
  const server = fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    bodyLimit: bodyBytes,
    ...listenerOptions(timeouts),
    // What arrives while draining is still answered; the connection closes after it.
    return503OnClosing: false,
    requestIdHeader: false,
    genReqId: requestIdOf,
    frameworkErrors: (error, request, reply) => {
      setCommonHeaders(request, reply);
      sendProblem(request, reply, faultOfError(error));
    },
    clientErrorHandler: refuseClient,
  });

  const { drain, isDraining } = openFrontDoor(server, { cors, timeouts });
  const accessLog = createAccessLog(log);
  server.addHook('onResponse', (request, reply, done) => {
    accessLog.write(request, reply, { trace_id: traceIdOf(request.traceparent) });
    done();
  });
  server.addHook('onClose', async () => accessLog.flush());
  server.setErrorHandler((error, request, reply) => {
    const fault = faultOfError(error);
    if (fault.code === 'internal') request.log.error({ err: error }, 'request failed');
    // Whoever is shed is in the access log; a line more for each would add to the load.
    else if (fault.code !== 'overloaded' && isOurs(fault))
      request.log.warn({ code: fault.code, cause: causeOf(error) }, 'request failed');
    return sendProblem(request, reply, fault);
  });
  server.setNotFoundHandler((request, reply) => sendProblem(request, reply, { code: 'not_found' }));

  serveHealth(server, pool, checkPools, isDraining);
  serveUploads(server, pool, storage, uploads);
  if (storage.kind === 'fs') serveObjects(server, pool, storage);
  tokens.serve(server);
  const api = {
    forward: compose(stages, forward),
    body: { bytes: bodyBytes, timeoutMs: timeouts.bodyMs, room: bodyRoom },
  };
  serveStream(server, { ...streams, body: api.body });
  serveEventTypes(server, api);
  const advise = createAdvice(pool);
  serveApi(server, { prefix: '/v1', schema: 'v1', ...api, advise });
  serveApi(server, { prefix: '/admin/v1', schema: 'admin', ...api, advise });
  serveDocs(server, api);
  return { server, drain };
}
