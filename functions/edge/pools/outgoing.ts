import type { Dispatcher } from 'undici';
import { requestHeaders } from '../forwarding.ts';
import type { Exchange } from '../pipeline.ts';

/** How long after its statement timeout an answer may come: waiting for PostgREST's pool, and making the answer. */
const GRACE_MS = 30_000;
const LEAST_MS = 60_000;

/** A request as undici takes it. The query is passed on untouched. */
export function outgoing(exchange: Exchange, body: Buffer | null): Dispatcher.DispatchOptions {
  const { method, schema, request, id, path, settings } = exchange;
  const headers = requestHeaders(exchange.headers, { schema, method, peerAddress: request.ip, requestId: id });
  for (const name in exchange.forward) headers[name] = exchange.forward[name];
  return {
    method: method as Dispatcher.HttpMethod,
    path: path.startsWith('/') ? path : `/${path}`,
    headers,
    body,
    // Some tenants' statements may take longer than any usual answer.
    headersTimeout: settings ? Math.max(LEAST_MS, settings.statementTimeoutMs + GRACE_MS) : LEAST_MS,
    bodyTimeout: LEAST_MS,
  };
}
