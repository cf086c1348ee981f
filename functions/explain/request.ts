import { RowhouseError } from '../errors.ts';

/** A request of the API, as far as the wall looks at it. */
export interface ApiRequest {
  method: string;
  /** As tenancy.explain_access() takes it: v1.jobs, admin.tenants, v1.rpc/cancel_job. */
  relation: string;
  /** The columns that the query compares with `eq`, which name the row in question. */
  rowKey: Record<string, string> | null;
  body: Record<string, unknown> | null;
  /** Conditions of the query that were left out of the explanation. */
  ignored: string[];
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
/** Parameters of PostgREST that are no condition on rows. */
const SHAPING = new Set(['select', 'order', 'limit', 'offset', 'columns', 'on_conflict']);

function invalid(detail: string): RowhouseError {
  return new RowhouseError('usage_invalid', {
    detail,
    hint: "rowhouse explain --token TOKEN GET '/v1/jobs?id=eq.…'",
  });
}

function parseBody(text: string): Record<string, unknown> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (cause) {
    throw invalid(`--body is not JSON: ${(cause as Error).message}`);
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalid('--body is one JSON object: of several rows, explain the one that was refused');
  }
  return body as Record<string, unknown>;
}

/**
 * Reads a request as a client wrote it: a path of the edge (/v1/jobs, /admin/v1/tenants), of PostgREST (/jobs), or a whole URL.
 * @throws RowhouseError usage_invalid
 */
export function parseRequest(method: string, target: string, body?: string): ApiRequest {
  const verb = method.toUpperCase();
  if (!METHODS.includes(verb)) throw invalid(`${method} is not one of ${METHODS.join(', ')}`);
  const base = 'http://api';
  const url = URL.canParse(target, base) ? new URL(target, base) : undefined;
  const [, admin, call, name] = /^\/(?:(admin\/)?v1\/)?(rpc\/)?([A-Za-z_]\w*)$/.exec(url?.pathname ?? '') ?? [];
  if (!url || !name) throw invalid(`${target} is not a path of the API`);
  const rowKey: Record<string, string> = {};
  const ignored: string[] = [];
  // The parameters of a call are the function's arguments, not conditions.
  for (const [column, condition] of call ? [] : url.searchParams) {
    if (SHAPING.has(column)) continue;
    if (condition.startsWith('eq.') && rowKey[column] === undefined) rowKey[column] = condition.slice(3);
    else ignored.push(`${column}=${condition}`);
  }
  return {
    method: verb,
    relation: `${admin ? 'admin' : 'v1'}.${call ?? ''}${name}`,
    rowKey: Object.keys(rowKey).length > 0 ? rowKey : null,
    body: body === undefined ? null : parseBody(body),
    ignored,
  };
}
