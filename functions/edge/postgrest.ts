import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { RowhouseError } from '../errors.ts';
import { requestHeaders, responseHeaders } from './forwarding.ts';
import { faultOf, type PostgrestError } from './problem.ts';
import { pathOf, sendProblem } from './reply.ts';

/** PostgREST's errors are far smaller; more than this is not one. */
const ERROR_BYTES = 64 * 1024;

async function readError(stream: Readable): Promise<PostgrestError> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > ERROR_BYTES) return {};
    chunks.push(chunk);
  }
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
    return typeof body === 'object' && body !== null ? body : {};
  } catch {
    return {};
  }
}

async function sendError(request: FastifyRequest, reply: FastifyReply, status: number, stream: Readable) {
  const error = await readError(stream);
  if (status >= 500) request.log.error({ upstream: { status, ...error } }, 'PostgREST answered with an error');
  return sendProblem(request, reply, faultOf(status, error));
}

/** Hands `{prefix}/…` to PostgREST, where it can reach `schema` and no other. Bodies stream both ways, query untouched. */
export function forwardTo(server: FastifyInstance, prefix: string, schema: string): void {
  server.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));

    const forward = (request: FastifyRequest, reply: FastifyReply) => {
      const path = pathOf(request);
      // The router matched the decoded path; only the plain spelling of the prefix can be cut off.
      if (path !== prefix && !path.startsWith(`${prefix}/`)) throw new RowhouseError('not_found');
      return reply.from(path.slice(prefix.length) || '/', {
        rewriteRequestHeaders: ({ ip, id, method }, headers) =>
          requestHeaders(headers, { schema, method, peerAddress: ip, requestId: id }),
        rewriteHeaders: (headers) => responseHeaders(headers, prefix),
        // Its default retries a GET after any 503, ten times.
        retryDelay: () => null,
        onResponse: (_request, _reply, { statusCode, stream }) => {
          if (statusCode < 400) reply.send(stream);
          else sendError(request, reply, statusCode, stream).catch((error) => reply.send(error));
        },
        onError: (_reply, { error }) => {
          reply.send(new RowhouseError('upstream_unavailable', { headers: { 'Retry-After': '1' }, cause: error }));
        },
      });
    };
    const method = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
    scope.route({ method, url: prefix, handler: forward });
    scope.route({ method, url: `${prefix}/*`, handler: forward });
  });
}
