-- id: 0074
-- name: setting_written
-- level: error
-- fix: hand
-- title: A function writes settings
-- why: The gate alone writes the context. A function that sets what its caller names is a way to every setting its owner may
--   write.

select f.name as object,
  format('it changes settings: %s', trim((regexp_match(written, '[^\n]*(?:\mset_config\M|\m(?:set|reset)\s|\malter\s)[^\n]*', 'i'))[1])) as detail,
  coalesce((select string_agg(format('revoke execute on function %s from %I;', f.name, r.name), ' ' order by r.name)
    from privileges p join runtime r on r.oid = p.grantee where p.kind = 'function' and p.oid = f.oid),
    format('drop function if exists %s;', f.name)) as remedy,
  jsonb_build_object('function', f.name) as metadata
-- What a function answers PostgREST with is no setting of anybody's.
from functions f, regexp_replace(f.bare_code, '\mset\s+local\s+response\.(?:headers|status)\M', '', 'gi') as written
where written ~* '\mset_config\M|(^|;|\mbegin|\mthen|\melse|\mloop)\s*(set|reset)\s|\mset\s+(local|session)\s|\malter\s+(role|user|database|system)\s'
