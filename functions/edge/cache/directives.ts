import type { IncomingHttpHeaders } from 'node:http';

/** What a request's Cache-Control asks of the cache (RFC 9111, 5.2.1). */
export interface Directives {
  /** Nothing kept is wanted: `no-cache`, `max-age=0`. */
  fresh: boolean;
  /** Nor may the answer be kept: `no-store`. */
  noStore: boolean;
  /** Nothing but what is kept: `only-if-cached`. */
  onlyKept: boolean;
}

const NONE: Directives = { fresh: false, noStore: false, onlyKept: false };

const NO_STORE = /(?:^|[,\s])no-store\s*(?:,|$)/i;
/** What is kept has been compared with the database when it is given: as young as any `max-age` but zero asks. */
const FRESH = /(?:^|[,\s])(?:no-cache|max-age\s*=\s*"?0+"?|min-fresh\s*=[^,]*)\s*(?:,|$)/i;
const ONLY_KEPT = /(?:^|[,\s])only-if-cached\s*(?:,|$)/i;

export function directivesOf(headers: IncomingHttpHeaders): Directives {
  const text = headers['cache-control'] ?? headers.pragma;
  if (text === undefined) return NONE;
  // fetch() adds `no-cache` to every If-None-Match, and a reload `max-age=0`: those ask whether their copy still holds, and what
  // is kept, compared with the database, answers just that.
  const fresh = headers['if-none-match'] === undefined && FRESH.test(text);
  return { noStore: NO_STORE.test(text), fresh, onlyKept: ONLY_KEPT.test(text) };
}

/** Whether an answer may be kept as far as it says itself. */
export function mayKeep(headers: Record<string, string | string[]>): boolean {
  if (headers['set-cookie'] !== undefined || headers.vary === '*') return false;
  const control = headers['cache-control'];
  return control === undefined || !/no-store|no-cache|private|max-age\s*=\s*"?0/i.test(String(control));
}

/** Whether If-None-Match names this tag: compared weakly, as for GET (RFC 9110, 13.1.2). */
export function namesTag(header: string, tag: string): boolean {
  if (header === tag || header.trim() === '*') return true;
  return header.split(',').some((each) => each.trim().replace(/^W\//, '') === tag);
}
