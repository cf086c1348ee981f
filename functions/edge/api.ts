import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { RowhouseError } from '../errors.ts';
import type { Advise } from './advice.ts';
import { type BodyLimits, readBody } from './front-door/body.ts';
import { sendBody } from './front-door/compression.ts';
import { METHODS } from './front-door/strictness.ts';
import type { Answer, Exchange, Forward } from './pipeline.ts';
import { faultOf, isOurs, type PostgrestError } from './problem.ts';
import { pathOf, sendProblem } from './reply.ts';

/** PostgREST's errors are far smaller; more than this is not one. */
const ERROR_BYTES = 64 * 1024;

/** A body as bytes; nothing where it has more than `limit`. */
export async function bodyOf(body: Readable | Buffer, limit: number): Promise<Buffer | undefined> {
  if (Buffer.isBuffer(body)) return body;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > limit) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function readError(body: Readable | Buffer): Promise<PostgrestError> {
  try {
    const bytes = await bodyOf(body, ERROR_BYTES);
    const parsed: unknown = JSON.parse(String(bytes ?? ''));
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    return {};
  }
}

export function exchangeOf(
  request: FastifyRequest,
  { prefix, schema, body }: Pick<Api, 'prefix' | 'schema' | 'body'>,
): Exchange {
  const url = request.raw.url ?? '/';
  const exchange: Exchange = {
    request,
    id: request.id,
    method: request.method,
    schema,
    prefix,
    path: url.slice(prefix.length) || '/',
    headers: request.headers,
    forward: { traceparent: request.traceparent },
    replyHeaders: {},
    body() {
      exchange.bodyRead ??= readBody(exchange, body);
      return exchange.bodyRead;
    },
  };
  return exchange;
}

/** Sends what the stages answered; errors in the edge's own words. */
export async function sendAnswer(
  exchange: Exchange,
  reply: FastifyReply,
  { status, headers, body }: Answer,
  advise?: Advise,
) {
  reply.headers(exchange.replyHeaders);
  if (status >= 400) {
    const error = await readError(body);
    const fault = { ...faultOf(status, error), ...(await advise?.(exchange, error)) };
    if (status >= 500 || isOurs(fault))
      exchange.request.log.error({ upstream: { status, ...error } }, 'PostgREST answered with an error');
    return sendProblem(exchange.request, reply, fault);
  }
  reply.code(status).headers(headers);
  // After HEAD an empty body would get a length, which is not the one that GET would have.
  return sendBody(exchange.request, reply, exchange.method === 'HEAD' ? null : body);
}

export interface Api {
  prefix: string;
  schema: Exchange['schema'];
  forward: Forward;
  body: BodyLimits;
  advise?: Advise;
}

/** Serves `{prefix}/…` from a schema of PostgREST, and from no other, through the stages in front of it. Its root is a document of ours. */
export function serveApi(server: FastifyInstance, api: Api): void {
  const { prefix, forward } = api;
  server.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));

    const handle = async (request: FastifyRequest, reply: FastifyReply) => {
      const path = pathOf(request);
      // The router matched the decoded path; only the plain spelling of the prefix can be cut off.
      if (!path.startsWith(`${prefix}/`)) throw new RowhouseError('not_found');
      const exchange = exchangeOf(request, api);
      try {
        return await sendAnswer(exchange, reply, await forward(exchange), api.advise);
      } catch (error) {
        reply.headers(exchange.replyHeaders);
        throw error;
      }
    };
    const route = { method: [...METHODS], handler: handle, config: { readsBody: true, corsByCaller: true } };
    scope.route({ ...route, url: `${prefix}/*` });
  });
}
