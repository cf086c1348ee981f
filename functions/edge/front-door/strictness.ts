import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { RowhouseError } from '../../errors.ts';
import { HOP_BY_HOP } from '../forwarding.ts';

/** What two readers could take for two different requests is refused before anything reads it. */

export const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Lists: repeated, they mean the same as joined by commas (RFC 9110, 5.3), and that is how Node and PostgREST get them. */
const REPEATABLE = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'access-control-request-headers',
  'cache-control',
  'connection',
  'cookie',
  'forwarded',
  'if-match',
  'if-none-match',
  'pragma',
  'prefer',
  'tracestate',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
]);

/** Browsers send twenty. */
const MOST_HEADERS = 200;
/** Names, IPv4 or IPv6, with or without a port. `a:80:80` and `a..` are what a reader that cuts off only one takes for a name that it is not. */
const HOST = /^(?:[\w-]+(?:\.[\w-]+)*\.?|\[[\da-f:.]+\])(?::\d{0,5})?$/i;

function refuse(detail: string): never {
  throw new RowhouseError('request_invalid', { detail });
}

/** With a status that `request_invalid` does not have by itself. */
function refuseAs(statusCode: number, detail: string): never {
  throw Object.assign(new Error(detail), { statusCode });
}

/** What a Connection header names is for this connection alone; what the edge acts on and PostgREST does not get would be two readings. */
function checkConnection(connection: string, headers: IncomingHttpHeaders): void {
  for (const option of connection.toLowerCase().split(',')) {
    const name = option.trim();
    if (name in headers && !HOP_BY_HOP.has(name)) refuse(`The Connection header names ${name}.`);
  }
}

/** Node gives bytes as Latin 1, and sends them on as they came. PostgreSQL takes no others than UTF-8. What is longer as UTF-8 is not all ASCII. */
function checkValues(rawHeaders: readonly string[]): void {
  for (let index = 1; index < rawHeaders.length; index += 2) {
    const value = rawHeaders[index] as string;
    if (Buffer.byteLength(value) !== value.length && !isUtf8(Buffer.from(value, 'latin1'))) {
      refuse(`The ${rawHeaders[index - 1]?.toLowerCase()} header is not UTF-8.`);
    }
  }
}

/** Node keeps the first of some headers and joins others; which one counted would be anybody's guess. */
function checkHeaders({ rawHeaders, headers, method, httpVersion }: IncomingMessage): void {
  if (rawHeaders.length >= 2 * MOST_HEADERS) refuseAs(431, `A request can have fewer than ${MOST_HEADERS} headers.`);
  // Node reads others, too, as if they were 1.1. Chunks came with 1.1.
  if (httpVersion !== '1.1' && (httpVersion !== '1.0' || headers['transfer-encoding'] !== undefined)) {
    refuse(`HTTP/${httpVersion} is not understood.`);
  }
  if (rawHeaders.length / 2 !== Object.keys(headers).length) {
    const seen = new Set<string>();
    for (let index = 0; index < rawHeaders.length; index += 2) {
      const name = (rawHeaders[index] ?? '').toLowerCase();
      if (seen.has(name) && !REPEATABLE.has(name)) refuse(`More than one ${name} header.`);
      seen.add(name);
    }
  }
  checkValues(rawHeaders);
  const { connection, expect, host } = headers;
  if (host !== undefined && !HOST.test(host)) refuse('The Host header is not a name with or without a port.');
  if (connection !== undefined && connection !== 'keep-alive' && connection !== 'close') {
    checkConnection(connection, headers);
  }
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    refuseAs(417, 'No expectation but 100-continue can be met.');
  }
  // It would not be forwarded; what a reader behind would make of it, nobody knows.
  if (
    (method === 'GET' || method === 'HEAD') &&
    (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0')
  ) {
    refuse(`${method} takes no body.`);
  }
}

/** Escapes of what needs none (RFC 3986, 6.2.2.2), of separators, and of control characters. */
const NEEDLESS_ESCAPE = /%(?:[01][\da-f]|2[5def]|3\d|4[1-9a-f]|5[\dacf]|6[1-9a-f]|7[\daef])/i;

function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** One spelling for each path, so that what was checked, counted and cached is what PostgREST understands. */
function checkPath(path: string): void {
  if (path.includes('//') || path.includes('\\') || /\/\.\.?(?:\/|$)/.test(path)) refuse('The path is not plain.');
  if (path.includes('%') && (NEEDLESS_ESCAPE.test(path) || !isEncoded(path))) {
    refuse('The path has an escape that it does not need, or a wrong one.');
  }
}

function checkTarget(url: string): void {
  if (!url.startsWith('/')) refuse('The target is not a path.');
  // Fragments belong to the client; the rest is not ASCII that can be seen.
  if (/[^\x21-\x7e]|#/.test(url)) refuse('The target has a character that has to be escaped.');
  const start = url.indexOf('?');
  checkPath(start < 0 ? url : url.slice(0, start));
  if (start < 0 || !url.includes('%', start)) return;
  const query = url.slice(start + 1);
  if (query.includes('%00') || !isEncoded(query))
    refuse('The query is not UTF-8 with percent-encoding, or has a null.');
}

/** @throws RowhouseError method_not_allowed, request_invalid */
export function refuseAmbiguous(raw: IncomingMessage): void {
  if (!METHODS.has(raw.method ?? '')) {
    throw new RowhouseError('method_not_allowed', { headers: { Allow: [...METHODS].join(', ') } });
  }
  checkTarget(raw.url ?? '');
  checkHeaders(raw);
}
