/**
 * Every error code that Rowhouse can answer with, from SQL or from TypeScript, with its HTTP status and title.
 * Codes are stable: clients match on them. docs/errors.md lists the same codes; a test compares both ways.
 */
export const ERRORS = {
  token_required: [401, 'A bearer token is required'],
  token_invalid: [401, 'The token is not valid'],
  token_expired: [401, 'The token has expired'],
  tenant_required: [400, 'This call needs a tenant'],
  tenant_unknown: [404, 'No such tenant'],
  tenant_mismatch: [403, 'The token belongs to another tenant'],
  tenant_suspended: [403, 'The tenant is suspended'],
  tenant_exists: [409, 'A tenant with this id or slug exists'],
  tenant_invalid: [422, 'The tenant is not valid'],
  context_sealed: [403, 'The transaction is sealed for another context'],
  membership_required: [403, 'The subject is not a member of the tenant'],
  role_insufficient: [403, 'The role does not allow this'],
  owner_required: [409, 'A tenant keeps at least one owner'],
  count_inexact: [400, 'Only exact counts are answered'],
  key_unknown: [404, 'No such signing key'],
  api_key_invalid: [401, 'The API key is not valid'],
  api_key_unknown: [404, 'No such API key'],
  api_key_malformed: [422, 'The API key cannot be made like this'],
  address_refused: [403, 'Not allowed from this address'],
  scope_insufficient: [403, "The API key's scopes do not allow this"],
  refresh_token_invalid: [401, 'The refresh token is not valid'],
  grant_type_unsupported: [400, 'No such grant type'],
  token_type_unsupported: [400, 'No such type of token'],
  issuer_unavailable: [503, "The token issuer's keys cannot be fetched right now"],
  file_not_found: [404, 'No such file'],
  file_exists: [409, 'The file is already stored'],
  file_pending: [409, 'The file has not been uploaded yet'],
  upload_too_large: [413, 'The body is larger than was announced'],
  upload_too_short: [400, 'The body is shorter than was announced'],
  upload_checksum: [422, 'The body does not have the announced checksum'],
  range_invalid: [416, 'The range has no bytes of this file'],
  signature_invalid: [403, 'The signed URL is not valid'],
  signature_expired: [403, 'The signed URL has expired'],
  webhook_secret_unreadable: [500, 'A stored webhook secret cannot be opened'],
  object_key_invalid: [400, 'The object key is not valid'],
  event_invalid: [422, 'The event cannot be emitted like this'],
  event_too_large: [413, 'The event is too large'],
  job_not_found: [404, 'No such job'],
  job_type_unknown: [422, 'No such job type'],
  job_input_invalid: [422, 'The job input is not valid'],
  job_result_too_large: [422, 'The result of the job is too large'],
  job_schedule_invalid: [422, 'The schedule is not valid'],
  quota_exceeded: [429, "The tenant's plan does not allow more of these"],
  webhook_endpoint_unknown: [404, 'No such webhook endpoint'],
  webhook_endpoint_invalid: [422, 'The webhook endpoint is not valid'],
  webhook_delivery_unknown: [404, 'No such webhook delivery'],
  webhook_replay_invalid: [422, 'The replay is not valid'],
  webhooks_unavailable: [503, 'Webhooks are not available right now'],
  job_transition: [409, 'The job cannot change to this status'],
  idempotency_conflict: [409, 'The idempotency key was used with another body'],
  idempotency_key_invalid: [400, 'The Idempotency-Key is not valid'],
  idempotency_in_flight: [409, 'A request with this Idempotency-Key is being carried out'],
  idempotency_mismatch: [422, 'The Idempotency-Key was used for another request'],
  idempotency_answer_lost: [409, 'The request was carried out before; its answer is not kept'],
  lease_lost: [409, 'Another attempt runs this job now'],
  permission_denied: [403, 'Not allowed'],
  not_found: [404, 'Not found'],
  request_invalid: [400, 'The request is not valid'],
  request_timeout: [408, 'The request took too long to arrive'],
  method_not_allowed: [405, 'The method is not allowed here'],
  request_too_large: [413, 'The body of the request is too large'],
  event_unknown: [404, 'No such event'],
  event_type_unknown: [404, 'No such type of event, or no such version of it'],
  stream_limit: [429, 'Too many streams are open'],
  stream_stalled: [408, 'The stream was not read'],
  not_cached: [504, 'The answer is not in the cache'],
  conflict: [409, 'The request conflicts with what is stored'],
  rate_limited: [429, 'Too many requests'],
  overloaded: [503, 'Too many requests are waiting already'],
  upstream_unavailable: [503, 'The API is not available right now'],
  edge_draining: [503, 'This edge is about to end'],
  database_unavailable: [503, 'The database is not available right now'],
  storage_unavailable: [503, 'The file storage is not available right now'],
  book_invalid: [500, 'The book in sql/ is not valid'],
  migration_invalid: [500, 'A migration file is not valid'],
  migration_failed: [500, 'A migration failed'],
  usage_invalid: [400, 'The command line is not valid'],
  schema_missing: [503, 'The database does not have this schema yet'],
  database_not_disposable: [403, 'The database is not marked as disposable'],
  config_invalid: [500, 'The configuration is not valid'],
  server_version_unsafe: [500, 'This PostgreSQL version is refused'],
  binary_missing: [500, 'A program that the stack needs is missing'],
  stack_missing: [503, 'No stack runs in this directory'],
  demo_failed: [500, 'A step of the demo was not as it should be'],
  dataset_missing: [500, 'A dataset of the demo is not installed'],
  stack_running: [409, 'A stack runs in this directory already'],
  stack_failed: [500, 'The stack could not start'],
  internal: [500, 'Something went wrong on our side'],
} as const satisfies Record<string, readonly [status: number, title: string]>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorOptions {
  /** What happened this time, for the caller. Never SQL, never a row of another tenant. */
  detail?: string;
  /** What to do next. */
  hint?: string;
  /** Extra response headers, such as Retry-After. */
  headers?: Record<string, string>;
  cause?: unknown;
}

/** The one error class: a stable code, its status and title, and what to do next. */
export class RowhouseError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly title: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly headers: Record<string, string>;

  constructor(code: ErrorCode, options: ErrorOptions = {}) {
    const [status, title] = ERRORS[code];
    super(options.detail ?? title, { cause: options.cause });
    this.name = 'RowhouseError';
    this.code = code;
    this.status = status;
    this.title = title;
    this.detail = options.detail;
    this.hint = options.hint;
    this.headers = options.headers ?? {};
  }
}

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERRORS, code);
}

/**
 * Turns what `pg` threw into a RowhouseError: our own SQL errors (SQLSTATE PGRST, body in the message) keep their
 * code; a lost connection is `database_unavailable`; anything else is returned unchanged for the caller to log.
 */
export function fromDatabase(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { code, message } = error as Error & { code?: string };
  if (code === 'PGRST') {
    const body = JSON.parse(message) as { code: string; details?: string; hint?: string };
    if (isErrorCode(body.code)) {
      return new RowhouseError(body.code, {
        ...(body.details ? { detail: body.details } : {}),
        ...(body.hint ? { hint: body.hint } : {}),
        cause: error,
      });
    }
  }
  if (code === '42501') return new RowhouseError('permission_denied', { cause: error });
  const gone = code !== undefined && (/^(08|57P)/.test(code) || /^E(CONN|PIPE|HOST|TIMEDOUT)/.test(code));
  if (
    gone ||
    /connection terminated|connection error and is not queryable|timeout exceeded when trying to connect/i.test(message)
  ) {
    return new RowhouseError('database_unavailable', { headers: { 'Retry-After': '1' }, cause: error });
  }
  return error;
}
