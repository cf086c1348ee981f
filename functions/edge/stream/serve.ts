import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { RowhouseError } from '../../errors.ts';
import { exchangeOf, sendAnswer } from '../api.ts';
import type { Caller } from '../caller.ts';
import type { BodyLimits } from '../front-door/body.ts';
import { METHODS } from '../front-door/strictness.ts';
import { type Answer, compose, type Stage } from '../pipeline.ts';
import { STREAM_HEADERS } from './frames.ts';
import type { Opening, Streams } from './streams.ts';
import { wantedOf } from './wanted.ts';

export interface StreamRoute {
  streams: Streams;
  /** What a request passes before a stream is opened, the first one outermost. */
  stages: readonly Stage[];
  body: BodyLimits;
}

const NOTHING = Buffer.alloc(0);

/** As PostgREST would put it: the stages know a refusal of the gate by its answer. */
function answerOf({ code, status, title, detail, hint, headers }: RowhouseError): Answer {
  const body = Buffer.from(JSON.stringify({ code, message: title, details: detail, hint }));
  return { status, headers: { ...headers, 'content-type': 'application/json' }, body };
}

/** `GET /v1/stream`: the tenant's events as server-sent events, from now on or behind `Last-Event-ID`. */
export function serveStream(server: FastifyInstance, { streams, stages, body }: StreamRoute): void {
  const api = { prefix: '/v1', schema: 'v1', body } as const;

  async function handle(request: FastifyRequest, reply: FastifyReply) {
    const exchange = exchangeOf(request, api);
    let opening: Opening | undefined;
    const forward = compose(stages, async ({ method, path, headers, caller, settings }) => {
      if (method !== 'GET') throw new RowhouseError('method_not_allowed', { headers: { Allow: 'GET' } });
      if (!caller || caller.tenantId === null || !settings) throw new RowhouseError('tenant_required');
      const wanted = wantedOf(path.split('?', 2)[1] ?? '', headers);
      try {
        opening = await streams.open(caller as Caller & { tenantId: string }, settings.openStreams, wanted);
      } catch (error) {
        if (error instanceof RowhouseError && (error.status === 401 || error.status === 403)) return answerOf(error);
        throw error;
      }
      return { status: 200, headers: { ...STREAM_HEADERS }, body: NOTHING };
    });
    try {
      const answer = await forward(exchange);
      if (!opening) return await sendAnswer(exchange, reply, answer);
      begin(opening, reply.headers(exchange.replyHeaders).headers(answer.headers));
      return reply;
    } catch (error) {
      opening?.giveUp();
      reply.headers(exchange.replyHeaders);
      throw error;
    }
  }

  function begin(opening: Opening, reply: FastifyReply): void {
    const { raw } = reply;
    const headers = reply.getHeaders();
    reply.hijack();
    if (raw.destroyed || raw.socket === null || raw.socket.destroyed) {
      opening.giveUp();
      return;
    }
    // A stream is quiet for as long as nothing happens; it knows by itself when nobody reads.
    raw.socket.setTimeout(0);
    raw.socket.setNoDelay(true);
    raw.writeHead(200, headers as Record<string, string>);
    opening.start(raw);
  }

  server.addHook('preClose', (done) => {
    streams.stop();
    done();
  });
  server.route({
    method: [...METHODS],
    url: '/v1/stream',
    handler: handle,
    config: { readsBody: true, corsByCaller: true },
  });
}
