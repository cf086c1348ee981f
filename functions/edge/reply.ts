import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Fault, problemOf } from './problem.ts';

/** An unread body up to this size is read and thrown away to keep the connection; for a larger one it is closed. */
const DISCARD_BYTES = 1024 * 1024;

/** The path as it was sent, without the query: logs and problems must not show a signature. */
export function pathOf(request: FastifyRequest): string {
  return (request.raw.url ?? '/').split('?', 1)[0] ?? '/';
}

/** Answers with an RFC 9457 problem. Resets what a handler may have set for the answer that did not come. */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, fault: Fault): FastifyReply {
  const problem = problemOf(fault, pathOf(request));
  for (const name of ['content-length', 'content-disposition', 'content-range', 'etag']) reply.removeHeader(name);
  const unread = !request.raw.complete && !(Number(request.headers['content-length']) <= DISCARD_BYTES);
  if (unread) reply.header('connection', 'close');
  if (problem.status === 401 && !reply.hasHeader('www-authenticate')) reply.header('www-authenticate', 'Bearer');
  return (
    reply
      .code(problem.status)
      .headers(fault.headers ?? {})
      .header('content-type', 'application/problem+json')
      // As bytes: Fastify would add a charset, which JSON media types do not have.
      .send(Buffer.from(JSON.stringify(problem)))
  );
}
