import pg from 'pg';
import { z } from 'zod';
import { ERRORS, type ErrorCode, isErrorCode, RowhouseError } from '../errors.ts';
import { HINTS } from './hints.ts';

/** The one error language of the edge: RFC 9457, with the four members that PostgREST clients read. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: string;
  message: string;
  details: unknown;
  hint: unknown;
}

/** A problem before it knows which request it answers. */
export interface Fault {
  /** Names the type; also the code, unless PostgREST's own is given. */
  code: ErrorCode;
  status?: number;
  /** A code or message that clients of PostgREST know better. */
  postgrest?: { code: string; message?: string };
  details?: unknown;
  hint?: unknown;
  headers?: Record<string, string>;
}

/** What PostgREST answers with. */
export interface PostgrestError {
  code?: unknown;
  message?: unknown;
  details?: unknown;
  hint?: unknown;
}

// Text that came from the database passes only if it has none of these: names in schemas that are not served, and SQL.
const PRIVATE_NAME =
  /(?:^|[^\w.])"?(?:app|auth|request|tenancy|ledger|metering|webhook|ops|pgboss|extensions|public|pg_\w+|information_schema)"?\."?\w/i;
const SQL =
  /\bselect\b.+\bfrom\b|\binsert\s+into\b|\bupdate\b.+\bset\b|\bdelete\s+from\b|\b(?:create|alter|drop)\s+\w+/is;

function publicText(value: unknown): unknown {
  const text = typeof value === 'string' ? value : JSON.stringify(value ?? null);
  return PRIVATE_NAME.test(text) || SQL.test(text) ? undefined : value;
}

const RETRY = { headers: { 'Retry-After': '1' } };

/** SQLSTATEs whose own texts are never shown, since those quote names, keys and rows. First match wins. */
const SQLSTATES: readonly (readonly [pattern: RegExp, fault: Fault])[] = [
  [/^42501$/, { code: 'permission_denied' }],
  [/^23505$/, { code: 'conflict', status: 409, details: 'A row with the same key exists.' }],
  [/^23503$/, { code: 'conflict', status: 409, details: 'A row that this one names is missing, or is still in use.' }],
  [/^23502$/, { code: 'request_invalid', status: 400, details: 'A required value is missing.' }],
  [/^23/, { code: 'request_invalid', status: 400, details: 'A value breaks a rule of this resource.' }],
  [
    /^25006$/,
    {
      code: 'request_invalid',
      status: 405,
      details: 'This writes, and the request may only read.',
      hint: 'Call a function that writes with POST; an API key needs the scope write.',
    },
  ],
  // PostgREST answers 500 when a view takes no such write.
  [/^55000$/, { code: 'request_invalid', status: 405, details: 'This resource cannot be written to in this way.' }],
  [/^57014$/, { code: 'database_unavailable', details: 'The statement took too long.', hint: 'Ask for less at once.' }],
  // PostgREST answers 400 with an empty code when its connection breaks in COMMIT without a word: the server has crashed, or the network.
  [
    /^$|^(?:08|57P0[12])/,
    {
      code: 'database_unavailable',
      details: 'The connection to the database was lost. It is not known whether the request was carried out.',
      hint: 'Send it again; with the same Idempotency-Key, what writes is carried out once.',
      ...RETRY,
    },
  ],
  [/^(53|57P|40001|40P01|PGRST00)/, { code: 'database_unavailable', ...RETRY }],
  [/^PGRST302$/, { code: 'token_required', hint: 'Send an Authorization header: Bearer <token>' }],
];

/** SQLSTATEs that speak of the caller's own input or, for P0001, of what a function's author wrote for the caller. */
const SPEAKING = /^(22|42703|42883|42P01|P0001)/;

/** What is known when there is no body to read, as after HEAD. */
function faultByStatus(status: number): Fault {
  if (status === 401) return { code: 'token_invalid', status };
  if (status === 403) return { code: 'permission_denied', status };
  if (status === 404) return { code: 'not_found', status };
  if (status === 409) return { code: 'conflict', status };
  if (status >= 502 && status <= 504) return { code: 'upstream_unavailable', ...RETRY };
  return status >= 500 ? { code: 'internal' } : { code: 'request_invalid', status };
}

/**
 * Translates an error of PostgREST, or of PostgreSQL behind it. Typed errors keep code and status; texts pass only where
 * they cannot name what is not served; nothing of a 5xx passes.
 */
export function faultOf(status: number, { code, message, details, hint }: PostgrestError): Fault {
  if (typeof code !== 'string') return faultByStatus(status);
  const texts = { details: publicText(details), hint: publicText(hint) };
  if (isErrorCode(code)) return { code, status, ...texts, ...(code === 'idempotency_in_flight' ? RETRY : {}) };
  if (code === 'PGRST301' || code === 'PGRST303') {
    return { code: message === 'JWT expired' ? 'token_expired' : 'token_invalid', status: 401 };
  }
  const known = SQLSTATES.find(([pattern]) => pattern.test(code))?.[1];
  if (known) return known.code === 'permission_denied' ? { ...known, status } : known;
  const byStatus = faultByStatus(status);
  if (status >= 500) return byStatus;
  const said = publicText(message);
  const text = typeof said === 'string' ? { message: said } : {};
  if (/^[0-9A-Z]{5}$/.test(code))
    return { ...byStatus, ...(SPEAKING.test(code) ? { details: text.message, hint: texts.hint } : {}) };
  // PostgREST's own codes, which its clients match on (PGRST116: not one row), and codes of a schema built on this one.
  return { ...byStatus, postgrest: { code, ...text }, ...texts };
}

/** Translates whatever was thrown in the edge. */
export function faultOfError(error: unknown): Fault {
  if (error instanceof RowhouseError) {
    return { code: error.code, details: error.detail, hint: error.hint, headers: error.headers };
  }
  if (error instanceof z.ZodError) {
    const details = error.issues.map(({ path, message }) => [path.join('.'), message].filter(Boolean).join(': '));
    return { code: 'request_invalid', details: details.join('; ') };
  }
  if (error instanceof pg.DatabaseError) {
    return faultOf(/^2[23]/.test(error.code ?? '') ? 400 : 500, error as PostgrestError);
  }
  // Fastify's own refusals: malformed JSON, a body over the limit, an unknown content type.
  const { statusCode, message } = error as Error & { statusCode?: number };
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return { code: 'request_invalid', status: statusCode, details: message };
  }
  return { code: 'internal' };
}

/** Whether it is no fault of the client's. */
export const isOurs = ({ code, status = ERRORS[code][0] }: Fault): boolean => status >= 500;

/** @param instance the path of the request, without its query: that may hold a signature */
export function problemOf(fault: Fault, instance: string): Problem {
  const [defaultStatus, title] = ERRORS[fault.code];
  const message = fault.postgrest?.message ?? title;
  return {
    type: `https://rowhouse.dev/errors/${fault.code}`,
    title,
    status: fault.status ?? defaultStatus,
    detail: typeof fault.details === 'string' ? fault.details : message,
    instance,
    code: fault.postgrest?.code ?? fault.code,
    message,
    details: fault.details ?? null,
    hint: fault.hint ?? HINTS[fault.code] ?? null,
  };
}
