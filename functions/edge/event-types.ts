import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { RowhouseError } from '../errors.ts';
import { type Api, bodyOf, exchangeOf, sendAnswer } from './api.ts';
import { namesTag } from './cache/directives.ts';
import { sendBody } from './front-door/compression.ts';
import type { Exchange } from './pipeline.ts';
import { pathOf } from './reply.ts';

const V1 = { prefix: '/v1', schema: 'v1' } as const;
const PATH = /^\/v1\/event-types\/([^/]+)\/([1-9]\d{0,8})$/;
/** Far more than a table of a thousand columns needs, each with its comment. */
const SCHEMA_BYTES = 16 * 1024 * 1024;
/** A column more does not make another version: a kept schema may lack it for so long. */
const CACHE_CONTROL = 'private, max-age=300';
const VARY = 'Accept-Encoding, Authorization, Origin';

/** The request for that row of v1.event_types, as the same caller. A path that names none asks as well: whoever has no token is told that first. */
function questionOf(request: FastifyRequest, body: Api['body']): Exchange {
  const [, type = '', version = '0'] = PATH.exec(pathOf(request)) ?? [];
  const { authorization, host, origin, 'x-tenant-id': tenant } = request.headers;
  const headers = { authorization, host, origin, 'x-tenant-id': tenant, accept: 'application/json' };
  return {
    ...exchangeOf(request, { ...V1, body }),
    method: 'GET',
    path: `/event_types?select=schema&type=eq.${encodeURIComponent(decodeURIComponent(type))}&version=eq.${version}`,
    headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)),
  };
}

function unknown(): RowhouseError {
  return new RowhouseError('event_type_unknown', {
    hint: 'GET /v1/event_types?select=type,version lists them; an emitted type has a schema where it was declared.',
  });
}

/** `GET /v1/event-types/{type}/{version}`, an event's `dataschema`: the JSON Schema of its data, for whoever has a tenant's token. */
export function serveEventTypes(server: FastifyInstance, { forward, body }: Pick<Api, 'forward' | 'body'>): void {
  async function handle(request: FastifyRequest, reply: FastifyReply) {
    const exchange = questionOf(request, body);
    try {
      const answer = await forward(exchange);
      if (answer.status !== 200) return await sendAnswer(exchange, reply, answer);
      const [row] = JSON.parse(String(await bodyOf(answer.body, SCHEMA_BYTES))) as { schema: object }[];
      if (!row) throw unknown();
      const schema = Buffer.from(JSON.stringify(row.schema));
      const tag = `"${createHash('sha256').update(schema).digest('base64url').slice(0, 27)}"`;
      reply.headers({ ...exchange.replyHeaders, 'cache-control': CACHE_CONTROL, vary: VARY, etag: tag });
      const known = request.headers['if-none-match'];
      if (known !== undefined && namesTag(known, tag)) return reply.code(304).send();
      return sendBody(request, reply.header('content-type', 'application/schema+json'), schema);
    } catch (error) {
      reply.headers(exchange.replyHeaders);
      throw error;
    }
  }

  // In a scope: routes that are made before the compression is loaded would go without it.
  server.register(async (scope) => {
    scope.get('/v1/event-types/*', { config: { corsByCaller: true } }, handle);
  });
}
