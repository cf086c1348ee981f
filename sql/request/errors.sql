--@ view request.error_codes
create view request.error_codes (code, status, title) as values
  ('token_required',       401, 'A bearer token is required'),
  ('token_invalid',        401, 'The token is not valid'),
  ('token_expired',        401, 'The token has expired'),
  ('tenant_required',      400, 'This call needs a tenant'),
  ('tenant_unknown',       404, 'No such tenant'),
  ('tenant_mismatch',      403, 'The token belongs to another tenant'),
  ('tenant_suspended',     403, 'The tenant is suspended'),
  ('tenant_exists',        409, 'A tenant with this id or slug exists'),
  ('tenant_invalid',       422, 'The tenant is not valid'),
  ('context_sealed',       403, 'The transaction is sealed for another context'),
  ('membership_required',  403, 'The subject is not a member of the tenant'),
  ('role_insufficient',    403, 'The role does not allow this'),
  ('owner_required',       409, 'A tenant keeps at least one owner'),
  ('count_inexact',        400, 'Only exact counts are answered'),
  ('key_unknown',          404, 'No such signing key'),
  ('api_key_invalid',      401, 'The API key is not valid'),
  ('api_key_unknown',      404, 'No such API key'),
  ('api_key_malformed',    422, 'The API key cannot be made like this'),
  ('address_refused',      403, 'Not allowed from this address'),
  ('scope_insufficient',   403, 'The API key''s scopes do not allow this'),
  ('file_not_found',       404, 'No such file'),
  ('file_exists',          409, 'The file is already stored'),
  ('upload_checksum',      422, 'The body does not have the announced checksum'),
  ('event_unknown',        404, 'No such event'),
  ('job_not_found',        404, 'No such job'),
  ('job_type_unknown',     422, 'No such job type'),
  ('job_result_too_large', 422, 'The result of the job is too large'),
  ('job_schedule_invalid', 422, 'The schedule is not valid'),
  ('quota_exceeded',       429, 'The tenant''s plan does not allow more of these'),
  ('webhook_endpoint_unknown', 404, 'No such webhook endpoint'),
  ('webhook_endpoint_invalid', 422, 'The webhook endpoint is not valid'),
  ('webhook_delivery_unknown', 404, 'No such webhook delivery'),
  ('webhook_replay_invalid', 422, 'The replay is not valid'),
  ('webhooks_unavailable', 503, 'Webhooks are not available right now'),
  ('job_transition',       409, 'The job cannot change to this status'),
  ('event_invalid',        422, 'The event cannot be emitted like this'),
  ('event_too_large',      413, 'The event is too large'),
  ('request_invalid',      400, 'The request is not valid'),
  ('idempotency_conflict', 409, 'The idempotency key was used with another body'),
  ('idempotency_key_invalid', 400, 'The Idempotency-Key is not valid'),
  ('idempotency_in_flight', 409, 'A request with this Idempotency-Key is being carried out'),
  ('idempotency_mismatch', 422, 'The Idempotency-Key was used for another request'),
  ('idempotency_answer_lost', 409, 'The request was carried out before; its answer is not kept'),
  ('lease_lost',           409, 'Another attempt runs this job now');
comment on view request.error_codes is 'Every error code that SQL raises. docs/errors.md explains each; a test compares both ways.';

--@ function request.raise_error(text,text,text)
create function request.raise_error(error_code text, details text default null, hint text default null)
returns void
language plpgsql
stable
security definer -- reads error_codes, which nobody else needs to reach
set search_path = ''
parallel safe
as $$
declare
  known request.error_codes;
begin
  select * into strict known from request.error_codes where code = error_code;
  raise sqlstate 'PGRST' using
    message = json_build_object('code', known.code, 'message', known.title, 'details', details, 'hint', hint)::text,
    detail = json_build_object('status', known.status, 'headers', json_build_object())::text;
end
$$;
comment on function request.raise_error(text, text, text) is
  'Raises a typed error. error_code: one of request.error_codes; details: what happened this time; hint: what to do next. '
  'PostgREST turns SQLSTATE PGRST into the status and body given (its reference, "Errors": RAISE with SQLSTATE PGRST).';
grant execute on function request.raise_error(text, text, text)
  to anon, tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;

--@ function request.tenant_required()
create function request.tenant_required()
returns text
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
begin
  perform request.raise_error('tenant_required', 'no sealed tenant in this transaction',
    'send a tenant token, or call auth.enter(token) first in this transaction');
  return null;
end
$$;
comment on function request.tenant_required() is
  'Raises tenant_required. A function of its own, so that request.tenant_id() stays one expression that the planner inlines.';
grant execute on function request.tenant_required() to tenant_user, operator, rowhouse_worker, rowhouse_edge, rowhouse_sealer;
