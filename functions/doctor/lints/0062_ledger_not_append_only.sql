-- id: 0062
-- name: ledger_not_append_only
-- level: error
-- fix: migration
-- title: The ledger can be changed
-- why: The ledger is evidence. It is written by one function, and changed by nobody.

select format('ledger.entries for %s (%s)', r.rolname, string_agg(distinct lower(split_part(p.privilege, ' ', 1)), ', ')) as object,
  'entries are added by ledger.record() alone' as detail,
  format('revoke insert, update, delete on table ledger.entries from %I;', r.rolname) as remedy,
  jsonb_build_object('relation', 'ledger.entries', 'role', r.rolname) as metadata
from privileges p
join pg_catalog.pg_roles r on r.oid = p.grantee
where p.oid = to_regclass('ledger.entries') and p.kind in ('relation', 'column')
  and split_part(p.privilege, ' ', 1) in ('INSERT', 'UPDATE', 'DELETE')
group by r.rolname
union all
select p.name, 'it lets the owner''s functions change or delete entries', format('drop policy if exists %s;', p.name),
  jsonb_build_object('relation', 'ledger.entries')
from policies p
where p.relation = to_regclass('ledger.entries') and to_regrole('rowhouse_owner') = any (p.roles) and p.command in ('w', 'd', '*')
union all
select 'ledger.entries for its owner', format('%s is left to the owner', string_agg(lower(g.privilege_type), ', ' order by g.privilege_type)),
  'revoke update, delete, truncate on table ledger.entries from rowhouse_owner;', jsonb_build_object('relation', 'ledger.entries')
from relations r, aclexplode(coalesce(r.acl, acldefault('r', r.owner))) g
where r.oid = to_regclass('ledger.entries') and g.grantee = r.owner and g.privilege_type in ('UPDATE', 'DELETE', 'TRUNCATE')
group by r.oid
