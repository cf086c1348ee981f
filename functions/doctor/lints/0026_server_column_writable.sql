-- id: 0026
-- name: server_column_writable
-- level: warning
-- fix: hand
-- title: Clients can write what the server keeps
-- why: These columns say who and when. Where the client can write them, they say what the client likes.

select format('%s.%s for %s (%s)', c.relation_name, c.name, r.name, string_agg(verbs.verb, ', ' order by verbs.verb)) as object,
  'a client can claim another time or author' as detail,
  format('revoke %s on table %s from %I;', string_agg(format('%s (%I)', verbs.verb, c.name), ', ' order by verbs.verb), c.relation_name, r.name) as remedy,
  jsonb_build_object('relation', c.relation_name, 'column', c.name, 'role', r.name) as metadata
from columns c
cross join (values ('insert'), ('update')) as verbs (verb)
join runtime r on r.kind = 'client' and has_column_privilege(r.oid, c.relation, c.attnum, verbs.verb)
where not c.is_partition
  and (c.name in ('created_at', 'updated_at', 'created_by') or c.default_value ~ '^request\.(subject|role|token_id)\(')
group by c.relation_name, c.name, r.name
