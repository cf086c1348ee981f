import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ErrorCode } from '../../errors.ts';
import { type Fault, faultOfError, problemOf } from '../problem.ts';
import { pathOf } from '../reply.ts';

/** RFC 6749, 5.2; RFC 8693, 2.2.2 and RFC 8707, 2 (`invalid_target`); RFC 7009, 2.2.1 (`unsupported_token_type`). */
const OAUTH_ERRORS: Partial<Record<ErrorCode, string>> = {
  refresh_token_invalid: 'invalid_grant',
  tenant_required: 'invalid_target',
  tenant_suspended: 'invalid_target',
  membership_required: 'invalid_target',
  scope_insufficient: 'invalid_scope',
  grant_type_unsupported: 'unsupported_grant_type',
  token_type_unsupported: 'unsupported_token_type',
  rate_limited: 'temporarily_unavailable',
  database_unavailable: 'temporarily_unavailable',
  issuer_unavailable: 'temporarily_unavailable',
};

/** What RFC 6749 lets an error_description hold. */
const describable = (text: string) => text.replaceAll(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, "'");

/**
 * Answers as RFC 6749 wants it, with the members of our problems beside its own. Of the client's errors all have status 400: 401 is for
 * clients that authenticate themselves, which none does here.
 */
export function sendOAuthError(request: FastifyRequest, reply: FastifyReply, error: unknown): FastifyReply {
  const fault: Fault = faultOfError(error);
  const problem = problemOf(fault, pathOf(request));
  const status = [401, 403, 404, 422].includes(problem.status) ? 400 : problem.status;
  if (status >= 500) request.log.error({ err: error }, 'token request failed');
  const name = OAUTH_ERRORS[fault.code] ?? (status >= 500 ? 'server_error' : 'invalid_request');
  return (
    reply
      .code(status)
      .headers(fault.headers ?? {})
      // OAuth clients insist on this type, not on application/problem+json.
      .header('content-type', 'application/json')
      .send(
        Buffer.from(
          JSON.stringify({ error: name, error_description: describable(problem.detail), ...problem, status }),
        ),
      )
  );
}
