-- id: 0022
-- name: anon_grant
-- level: error
-- fix: migration
-- title: Something is granted to anon
-- why: Nothing is for strangers except the gate, which tells them to bring a token. A grant to `anon` is an API without one.

select p.target as object,
  format('anon holds %s', string_agg(distinct lower(p.privilege), ', ')) as detail,
  format('%srevoke all on %s from anon;%s', p.before, p.target, p.after) as remedy,
  jsonb_build_object('kind', p.kind, 'name', p.name) as metadata
from privileges p
where p.grantee = to_regrole('anon')
group by p.target, p.kind, p.name, p.before, p.after
