import helmet from '@fastify/helmet';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Api, bodyOf, exchangeOf, sendAnswer } from '../api.ts';
import { encodingOf, sendBody } from '../front-door/compression.ts';
import { SECURITY_HEADERS } from '../front-door/security-headers.ts';
import type { Exchange } from '../pipeline.ts';
import { documentOf } from './document.ts';
import { type Reference, renderReference } from './reference.ts';
import type { Swagger } from './swagger.ts';

/** What PostgREST's description of a schema may take. */
const SWAGGER_BYTES = 16 * 1024 * 1024;

/** The role that a token claims: enough to choose a schema, of which PostgREST shows what the real one sees. */
function claimsOperator({ headers }: FastifyRequest): boolean {
  try {
    const payload = headers.authorization?.split('.')[1] ?? '';
    return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { role?: unknown }).role === 'operator';
  } catch {
    return false;
  }
}

const V1 = { prefix: '/v1', schema: 'v1' } as const;
const ADMIN = { prefix: '/admin/v1', schema: 'admin' } as const;

/** A request for PostgREST's description of a schema, as the same caller. */
function descriptionOf(request: FastifyRequest, root: typeof V1 | typeof ADMIN, body: Api['body']): Exchange {
  const { authorization, host, origin, 'x-tenant-id': tenant } = request.headers;
  const headers = { authorization, host, origin, 'x-tenant-id': tenant, accept: 'application/openapi+json' };
  const given = Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
  return { ...exchangeOf(request, { ...root, body }), method: 'GET', path: '/', headers: given };
}

function sendJson(request: FastifyRequest, reply: FastifyReply, document: unknown): FastifyReply {
  reply.header('content-type', 'application/json');
  return sendBody(request, reply, Buffer.from(JSON.stringify(document)));
}

/**
 * `/openapi.json`: what the caller sees, or, without a token, the edge's own routes. `/v1/`, `/admin/v1/`: what the caller sees of that
 * schema, in place of PostgREST's description, which tells where PostgREST is. `/docs`: the same, to read and to try.
 */
export function serveDocs(server: FastifyInstance, { forward, body }: Pick<Api, 'forward' | 'body'>): void {
  const publicDocument = documentOf();

  async function sendSeen(request: FastifyRequest, reply: FastifyReply, root: typeof V1 | typeof ADMIN) {
    const exchange = descriptionOf(request, root, body);
    Object.assign(exchange.replyHeaders, { vary: 'Authorization', 'cache-control': 'private, no-cache' });
    try {
      const answer = await forward(exchange);
      if (answer.status !== 200) return await sendAnswer(exchange, reply, answer);
      const swagger = JSON.parse(String(await bodyOf(answer.body, SWAGGER_BYTES))) as Swagger;
      reply.headers(exchange.replyHeaders);
      return sendJson(request, reply, documentOf({ swagger, prefix: root.prefix }));
    } catch (error) {
      reply.headers(exchange.replyHeaders);
      throw error;
    }
  }

  // In a scope: routes that are made before the compression is loaded would go without it.
  server.register(async (scope) => {
    const config = { corsByCaller: true };
    scope.get('/openapi.json', { config }, async (request, reply) => {
      if (request.headers.authorization !== undefined)
        return sendSeen(request, reply, claimsOperator(request) ? ADMIN : V1);
      reply.headers({ vary: 'Authorization', 'cache-control': 'public, max-age=300' });
      return sendJson(request, reply, publicDocument);
    });
    for (const root of [V1, ADMIN]) {
      for (const url of [root.prefix, `${root.prefix}/`]) {
        scope.get(url, { config }, (request, reply) => sendSeen(request, reply, root));
      }
    }
  });

  server.register(async (scope) => {
    let rendering: Promise<Reference> | undefined;
    let reference: Reference | undefined;
    scope.addHook('onRequest', async (_request, reply) => {
      rendering ??= renderReference();
      reference = await rendering;
      // A page has a policy of its own.
      for (const name of Object.keys(SECURITY_HEADERS)) reply.removeHeader(name);
    });
    await scope.register(helmet, {
      contentSecurityPolicy: {
        useDefaults: false,
        directives: {
          defaultSrc: ["'none'"],
          scriptSrc: ["'self'", () => `'sha256-${reference?.inlineHash}'`],
          styleSrc: ["'self'", "'unsafe-inline'"],
          imgSrc: ["'self'", 'data:'],
          fontSrc: ["'self'", 'data:'],
          connectSrc: ["'self'"],
          baseUri: ["'none'"],
          formAction: ["'none'"],
          frameAncestors: ["'none'"],
        },
      },
      xFrameOptions: { action: 'deny' },
    });
    scope.get('/docs', (_request, reply) => reply.redirect('/docs/', 308));
    scope.get('/docs/', (request, reply) => {
      reply.type('text/html; charset=utf-8').header('cache-control', 'no-cache');
      return sendBody(request, reply, (reference as Reference).page);
    });
    scope.get('/docs/js/scalar.js', (request, reply) => {
      const { script, scriptTag } = reference as Reference;
      const encoding = encodingOf(request.headers['accept-encoding'] ?? '');
      const vary = [reply.getHeader('vary'), 'Accept-Encoding'].filter(Boolean).join(', ');
      // A strong tag would promise the same bytes in each form (RFC 9110, 8.8.3.3).
      const etag = encoding ? `W/${scriptTag}` : scriptTag;
      reply.type('text/javascript; charset=utf-8').headers({ etag, vary, 'cache-control': 'public, max-age=3600' });
      if (request.headers['if-none-match']?.includes(scriptTag)) return reply.code(304).send();
      if (encoding) reply.header('content-encoding', encoding);
      return reply.send(script[encoding ?? 'identity']);
    });
  });
}
