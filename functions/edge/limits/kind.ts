import type { IncomingHttpHeaders } from 'node:http';

/** Requests of a tenant are limited by kind: a flood of reads leaves room to write. */
export type Kind = 'read' | 'write' | 'expensive';

const READS = new Set(['GET', 'HEAD', 'OPTIONS']);
const EXACT_COUNT = /\bcount\s*=\s*exact\b/i;

/** `job_findings` of `/job_findings?row=gt.10`, `rpc/import` of `/rpc/import`. */
function resourceOf(path: string): string {
  const end = path.indexOf('?');
  return path.slice(1, end === -1 ? path.length : end);
}

/**
 * Expensive: a function called with POST, an exact count, and what the operator declares.
 * @param path behind the prefix, with its query
 * @param declared resources as in EDGE_EXPENSIVE_ROUTES, such as `job_findings` or `rpc/import`
 */
export function kindOf(
  method: string,
  path: string,
  headers: IncomingHttpHeaders,
  declared: ReadonlySet<string>,
): Kind {
  if (declared.size > 0 && declared.has(resourceOf(path))) return 'expensive';
  const { prefer } = headers;
  if (prefer !== undefined && EXACT_COUNT.test(String(prefer))) return 'expensive';
  if (READS.has(method)) return 'read';
  return method === 'POST' && path.startsWith('/rpc/') ? 'expensive' : 'write';
}
