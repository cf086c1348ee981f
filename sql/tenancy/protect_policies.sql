--@ function tenancy.printed_condition(regclass,text)
create function tenancy.printed_condition(target regclass, condition text)
returns text
language plpgsql
volatile
strict
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  printed text := format('select true as holds from %s where (%s)', target, condition);
begin
  -- Twice: PostgreSQL prints some forms otherwise than it reads them (`in` of a varchar), and what was dumped and restored has been
  -- through it once more. From there on it prints what it reads.
  for times in 1 .. 2 loop
    execute 'create view pg_temp.condition_of_a_policy as ' || printed;
    printed := pg_catalog.pg_get_viewdef(to_regclass('pg_temp.condition_of_a_policy'));
    drop view pg_temp.condition_of_a_policy;
  end loop;
  return printed;
end
$$;
comment on function tenancy.printed_condition(regclass, text) is
  'A condition on a table''s rows as PostgreSQL prints it: two are the same if and only if they were read as the same. By way of a temporary '
  'view, since a policy would lock the table.';

--@ function tenancy.add_policy(regclass,text,text,text,text)
create function tenancy.add_policy(target regclass, policy_name text, verb text, roles text, condition text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  reads boolean := verb <> 'insert';
  writes boolean := verb not in ('select', 'delete');
  wanted text;
  present record;
begin
  select polcmd, polpermissive, pg_catalog.pg_get_expr(polqual, polrelid) as qual, pg_catalog.pg_get_expr(polwithcheck, polrelid) as with_check,
    array(select unnest(polroles)::regrole::text order by 1) as holders
  into present
  from pg_catalog.pg_policy where polrelid = target and polname = policy_name;
  if not found then
    execute format('create policy %I on %s for %s to %s', policy_name, target, verb, roles)
      || case when reads then format(' using (%s)', condition) else '' end
      || case when writes then format(' with check (%s)', condition) else '' end;
    return;
  end if;
  -- Never re-created, since that takes ACCESS EXCLUSIVE; but never left saying something else than was asked for, either.
  wanted := tenancy.printed_condition(target, condition);
  if not present.polpermissive or present.holders <> array(select unnest(string_to_array(roles, ', ')) order by 1)
     or (present.polcmd <> case verb when 'select' then 'r' when 'insert' then 'a' when 'update' then 'w' when 'delete' then 'd' else '*' end) then
    perform tenancy.refuse(target, format('policy "%s" is there for other verbs or roles', policy_name),
      format('drop policy %I on %s; then protect it again', policy_name, target));
  elsif (present.qual is not null) <> reads or (present.with_check is not null) <> writes
     or tenancy.printed_condition(target, present.qual) <> wanted or tenancy.printed_condition(target, present.with_check) <> wanted then
    perform tenancy.refuse(target, format('policy "%s" is there with another condition', policy_name),
      format('drop policy %I on %s; then protect it again', policy_name, target));
  end if;
end
$$;
comment on function tenancy.add_policy(regclass, text, text, text, text) is
  'Part of protect(): adds one policy where it is missing, and refuses one of the same name that says something else.';

--@ function tenancy.own_rows()
create function tenancy.own_rows()
returns text
language sql
immutable
security invoker
parallel safe
-- Twice the same test. The second finds the index and prunes partitions when the statement starts. The first is there because
-- PostgreSQL runs a leakproof condition of the caller (name = …) before a policy that costs more, and a condition that raises
-- an error for a match then tells what other tenants store. `= any (array[…])` costs half an operator, so no comparison is
-- cheaper, and it forms no equivalence class, so it stays in front (order_qual_clauses in PostgreSQL's createplan.c). The array
-- holds the column, not the tenant: a condition that prunes once more while running makes PostgreSQL 18.4 lose an update
-- that had to wait for another (test/sql/policies.test.ts).
return '(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()';
comment on function tenancy.own_rows() is 'Part of protect(): the condition that a row is the sealed tenant''s.';

--@ function tenancy.readable_rows(text)
create function tenancy.readable_rows(read_role text)
returns text
language sql
immutable
security invoker
parallel safe
-- In a sub-select, it is evaluated once.
return tenancy.own_rows() || format(' and (select request.has_tenant_role(%L))', read_role);
comment on function tenancy.readable_rows(text) is 'Part of protect(): the condition that a member of this role or above may read a row.';

--@ function tenancy.add_policies(regclass,text,text,text)
create function tenancy.add_policies(target regclass, read_role text, write_role text, write_condition text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  own_tenant constant text := tenancy.own_rows();
  -- A restrictive policy would come before these, and keep the tenant from being searched for in an index.
  as_writer constant text := format(' and (select request.has_tenant_role(%L))', write_role) || coalesce(' and (' || write_condition || ')', '');
  may_write constant text := own_tenant || as_writer;
  -- No condition of the caller sees a new row before this does, and nothing is pruned by it.
  may_add constant text := 'tenant_id = (select request.tenant_id())' || as_writer;
begin
  perform tenancy.add_policy(target, 'A member reads the rows of their tenant', 'select', 'tenant_user', tenancy.readable_rows(read_role));
  perform tenancy.add_policy(target, 'A writer adds rows to their tenant', 'insert', 'tenant_user', may_add);
  perform tenancy.add_policy(target, 'A writer changes rows of their tenant', 'update', 'tenant_user', may_write);
  perform tenancy.add_policy(target, 'A writer deletes rows of their tenant', 'delete', 'tenant_user', may_write);
  perform tenancy.add_policy(target, 'A service works within its sealed tenant', 'all', 'rowhouse_worker, rowhouse_edge', own_tenant);
end
$$;
comment on function tenancy.add_policies(regclass, text, text, text) is 'Part of protect(): one policy for each verb and kind of role.';
