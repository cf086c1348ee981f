--@ function ledger.row_version(tid,xid)
create function ledger.row_version(ctid tid, xmin xid)
returns text
language sql
stable
security invoker
parallel safe
-- Each by itself is used again: another transaction gets the place, and one transaction may change a row twice.
return ctid || ' ' || xmin;
comment on function ledger.row_version(tid, xid) is 'Differs for each version of a row that there is and was in one table of one database.';
grant execute on function ledger.row_version(tid, xid) to tenant_user, rowhouse_dispatcher;

--@ function ledger.plain_condition(text)
create function ledger.plain_condition(condition text)
returns text
language sql
immutable
security invoker
parallel safe
-- tenancy.printed_condition() makes a view, which a reader of events cannot. Nothing is lost by this: what is compared has no OR, so that
-- parentheses mean nothing, and no literal but the role's.
return regexp_replace(lower(condition), '::text|\s|[()]| as [a-z_]+', '', 'g');
comment on function ledger.plain_condition(text) is 'A condition of protect()''s without what PostgreSQL adds when it prints one.';

--@ function ledger.policy_role(regclass)
create function ledger.policy_role(target regclass)
returns text
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select r.role
  from pg_catalog.pg_policy as p
  cross join unnest('{viewer,member,admin,owner}'::text[]) as r (role)
  where p.polrelid = target and p.polname = 'A member reads the rows of their tenant' and to_regrole('tenant_user') = any (p.polroles)
    and ledger.plain_condition(pg_catalog.pg_get_expr(p.polqual, p.polrelid)) = ledger.plain_condition(tenancy.readable_rows(r.role));
end;
comment on function ledger.policy_role(regclass) is
  'The read_role that protect() was told, where its policy is still as it made it; null: the policy lets other members read, or fewer rows.';
grant execute on function ledger.policy_role(regclass), ledger.plain_condition(text), tenancy.readable_rows(text), tenancy.own_rows()
  to tenant_user, rowhouse_dispatcher;
