-- id: 0067
-- name: sensitive_column_exposed
-- level: error
-- fix: hand
-- title: A sensitive column is in the API
-- why: Row-level security keeps it in its tenant; inside it every viewer, log and cache has it. Secrets are shown once, or
--   never.

select format('%s.%s', c.relation_name, c.name) as object,
  format('%s may read it', string_agg(r.name, ', ' order by r.name)) as detail,
  string_agg(format('revoke select (%I) on table %s from %I;', c.name, c.relation_name, r.name), ' ' order by r.name) as remedy,
  jsonb_build_object('relation', c.relation_name, 'column', c.name) as metadata
from columns c
join runtime r on r.kind = 'client' and has_column_privilege(r.oid, c.relation, c.attnum, 'select')
where c.exposed
  and c.name ~* '(^|_)(password|passwd|passphrase|secret|token_hash|key_hash|private_key|api_key|access_key|otp|ssn|iban|card_number|cvv)(_|$)'
group by c.relation_name, c.name
