import type { IncomingHttpHeaders } from 'node:http';

/** Between client and edge only (RFC 9110, 7.6.1); `expect` was answered by the edge itself. */
const HOP_BY_HOP = new Set([
  'connection',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** What only a proxy that we trust may say. */
const STEERING = /^(?:forwarded|x-forwarded-.*|x-real-ip|x-rowhouse-.*|accept-profile|content-profile|x-request-id)$/;

export interface Forwarding {
  /** The only schema that the call can reach. */
  schema: string;
  method: string;
  peerAddress: string;
  requestId: string;
}

/** The headers that PostgREST gets: the client's, less what is not the client's to say. */
export function requestHeaders(headers: IncomingHttpHeaders, call: Forwarding): IncomingHttpHeaders {
  const kept = Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name) && !STEERING.test(name));
  const forwarded: IncomingHttpHeaders = {
    ...Object.fromEntries(kept),
    'accept-profile': call.schema,
    'content-profile': call.schema,
    'x-forwarded-for': call.peerAddress,
    'x-request-id': call.requestId,
  };
  // Their bodies are not forwarded; a length without a body would leave PostgREST waiting.
  if (call.method === 'GET' || call.method === 'HEAD') delete forwarded['content-length'];
  return forwarded;
}

/** The headers that the client gets. PostgREST's own paths become the edge's. */
export function responseHeaders(headers: IncomingHttpHeaders, prefix: string): IncomingHttpHeaders {
  const kept = Object.entries(headers).filter(
    ([name]) => !HOP_BY_HOP.has(name) && name !== 'server' && name !== 'date',
  );
  const answer: IncomingHttpHeaders = Object.fromEntries(kept);
  for (const name of ['location', 'content-location'] as const) {
    const path = answer[name];
    if (typeof path === 'string' && path.startsWith('/')) answer[name] = prefix + path;
  }
  // PostgREST adds a Content-Type set by a function to its own instead of replacing it.
  const type: unknown = answer['content-type'];
  if (Array.isArray(type)) answer['content-type'] = type.at(-1);
  return answer;
}
