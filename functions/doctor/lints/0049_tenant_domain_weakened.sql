-- id: 0049
-- name: tenant_domain_weakened
-- level: error
-- fix: hand
-- title: The form of tenant names is not checked
-- why: Names go into storage keys, addresses and the seal, where space and `_` have a meaning. The check is what keeps them
--   out.

select 'tenancy.tenant_id' as object,
  'the domain is not text collate "C" with its check' as detail,
  'alter domain tenancy.tenant_id add constraint tenant_id_form check (octet_length(value) <= 49 and value ~ ''^t_[a-z0-9][a-z0-9_]*$'');' as remedy,
  jsonb_build_object('type', 'tenancy.tenant_id') as metadata
where not exists (
  select from pg_catalog.pg_type t
  join pg_catalog.pg_constraint c on c.contypid = t.oid and c.contype = 'c' and c.convalidated
  where t.oid = to_regtype('tenancy.tenant_id') and t.typbasetype = 'text'::regtype
    and t.typcollation = 'pg_catalog."C"'::regcollation
    and pg_get_constraintdef(c.oid) = 'CHECK (((octet_length(VALUE) <= 49) AND (VALUE ~ ''^t_[a-z0-9][a-z0-9_]*$''::text)))')
