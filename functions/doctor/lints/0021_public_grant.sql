-- id: 0021
-- name: public_grant
-- level: error
-- fix: migration
-- title: Something is granted to PUBLIC
-- why: PUBLIC is every role that there is or will be, `anon` included. PostgreSQL gives it EXECUTE on new functions and USAGE
--   on new types unless default privileges say otherwise.

select p.target as object,
  format('PUBLIC holds %s', string_agg(distinct lower(p.privilege), ', ')) as detail,
  format('%srevoke all on %s from public;%s', p.before, p.target, p.after) as remedy,
  jsonb_build_object('kind', p.kind, 'name', p.name) as metadata
from privileges p
where p.grantee = 0
group by p.target, p.kind, p.name, p.before, p.after
