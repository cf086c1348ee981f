import type { IncomingHttpHeaders } from 'node:http';

/** Between client and edge only (RFC 9110, 7.6.1); `expect` was answered by the edge itself. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
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

/** What only a proxy that we trust may say, and what is between the client and the edge: cross-origin rules are the edge's. */
const STEERING =
  /^(?:forwarded|x-forwarded-.*|x-real-ip|x-rowhouse-.*|accept-profile|content-profile|x-request-id|origin|access-control-.*)$/;

/** What the edge says itself. PostgREST shows its answers to every origin. */
const OWN = /^(?:server|date|access-control-.*)$/;

export interface Forwarding {
  /** The only schema that the call can reach. */
  schema: string;
  method: string;
  peerAddress: string;
  requestId: string;
}

/** Bodies of other requests are not forwarded. */
export const takesBody = (method: string) => method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS';

/** The headers that PostgREST gets: the client's, less what is not the client's to say. */
export function requestHeaders(headers: IncomingHttpHeaders, call: Forwarding): IncomingHttpHeaders {
  const forwarded: IncomingHttpHeaders = {};
  const hasBody = takesBody(call.method);
  for (const name in headers) {
    if (HOP_BY_HOP.has(name) || STEERING.test(name)) continue;
    // A length without a body would leave PostgREST waiting.
    if (name === 'content-length' && !hasBody) continue;
    forwarded[name] = headers[name];
  }
  forwarded['accept-profile'] = call.schema;
  forwarded['content-profile'] = call.schema;
  forwarded['x-forwarded-for'] = call.peerAddress;
  forwarded['x-request-id'] = call.requestId;
  return forwarded;
}

/** The headers that the client gets. PostgREST's own paths become the edge's. */
export function responseHeaders(headers: IncomingHttpHeaders, prefix: string): Record<string, string | string[]> {
  const answer: Record<string, string | string[]> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined || HOP_BY_HOP.has(name) || OWN.test(name)) continue;
    if (name === 'location' || name === 'content-location') {
      answer[name] = typeof value === 'string' && value.startsWith('/') ? prefix + value : value;
    } else if (name === 'content-type' && Array.isArray(value)) {
      // PostgREST adds a Content-Type set by a function to its own instead of replacing it.
      answer[name] = value.at(-1) ?? 'application/json';
    } else {
      answer[name] = value;
    }
  }
  return answer;
}
