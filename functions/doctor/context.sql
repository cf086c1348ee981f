-- What the lints share. The runner puts this before their queries, in one statement: read once, and of one moment.
-- `known_holes` comes before it, from functions/versions.ts. Run with an empty search_path, so that every name is qualified.

-- Everything but the system, the extensions and pg-boss is ours, in whatever schema it stands.
schemas as (
  select oid, nspname::text as name, nspowner as owner, nspacl as acl,
    nspname ~ '^v[0-9]+$' or nspname = 'admin' as exposed -- what PostgREST serves: v1, its successors, admin
  from pg_catalog.pg_namespace
  where nspname !~ '^pg_' and nspname not in ('information_schema', 'extensions', 'pgboss')
),
known_roles (name, kind, logs_in) as (
  values ('anon', 'client', false), ('tenant_user', 'client', false), ('operator', 'client', false),
    ('authenticator', 'client', true), ('rowhouse_worker', 'service', true), ('rowhouse_edge', 'service', true),
    ('rowhouse_migrator', 'owner', true), ('rowhouse_owner', 'owner', false),
    ('rowhouse_sealer', 'maker', false), ('rowhouse_dispatcher', 'maker', false) -- own functions, and are granted what these need
),
-- Who comes from outside: the known clients and services, and what they were made members of.
runtime (oid, name, kind) as (
  select r.oid, r.rolname::text, k.kind
  from pg_catalog.pg_roles r join known_roles k on k.name = r.rolname where k.kind in ('client', 'service')
  union
  select r.oid, r.rolname::text, runtime.kind
  from runtime
  join pg_catalog.pg_auth_members m on m.member = runtime.oid
  join pg_catalog.pg_roles r on r.oid = m.roleid
  where r.rolname !~ '^pg_' and not exists (select from known_roles k where k.name = r.rolname)
),
relations as (
  select c.oid, c.oid::regclass::text as name, s.name as schema, s.exposed, c.relname::text as short_name, c.relkind as kind,
    c.relispartition as is_partition, c.relowner as owner, c.relacl as acl, c.reloptions as options,
    c.relrowsecurity as has_rls, c.relforcerowsecurity as forces_rls
  from pg_catalog.pg_class c join schemas s on s.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and not exists (select from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
),
-- The tenant column: tenant_id, or a primary key of that type (the directory itself).
tables as (
  select r.*, a.attnum as tenant_attnum, a.attname::text as tenant_column, a.atttypid as tenant_type,
    a.attnotnull as tenant_not_null, a.attname = 'tenant_id' as is_tenant_data,
    replace('(select request.tenant_id()) = any (array[%::text]) and % = request.tenant_id()', '%', quote_ident(a.attname)) as own_rows
  from relations r
  left join pg_catalog.pg_index k on k.indrelid = r.oid and k.indisprimary
  left join pg_catalog.pg_attribute a on a.attrelid = r.oid and not a.attisdropped and (a.attname = 'tenant_id'
    or a.atttypid = to_regtype('tenancy.tenant_id') and k.indnkeyatts = 1 and k.indkey[0] = a.attnum)
  where r.kind in ('r', 'p')
),
columns as (
  select r.oid as relation, r.name as relation_name, r.exposed, r.kind, r.is_partition, a.attnum, a.attname::text as name,
    a.attacl as acl, r.owner, a.attgenerated as generated, pg_get_expr(d.adbin, d.adrelid) as default_value
  from relations r
  join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where r.kind <> 'S'
),
policies as (
  select p.oid, t.oid as relation, t.name as table_name, format('%I on %s', p.polname, t.name) as name, t.is_partition,
    t.tenant_column, t.is_tenant_data, p.polcmd as command, p.polpermissive as permissive, p.polroles as roles,
    pg_get_expr(p.polqual, p.polrelid) as qual, pg_get_expr(p.polwithcheck, p.polrelid) as with_check,
    concat(p.polqual::text, p.polwithcheck::text) as tree,
    -- Makes it hold for the sealed tenant's rows alone; where there is no tenant column, it has to go.
    case when t.tenant_column is null then format('drop policy if exists %I on %s;', p.polname, t.name)
      else format('alter policy %I on %s', p.polname, t.name)
        || case when p.polcmd <> 'a' then format(' using (%s)', t.own_rows || members.may_write) else '' end
        || case when p.polcmd in ('a', 'w', '*') then format(' with check (%s)', t.own_rows || members.may_write) else '' end || ';'
    end as sealing
  from pg_catalog.pg_policy p
  join tables t on t.oid = p.polrelid
  cross join lateral (select case when p.polcmd <> 'r' and to_regrole('tenant_user') = any (p.polroles)
    then ' and (select request.has_tenant_role(''member''))' else '' end as may_write) as members
),
-- Each condition of a policy alone, with strings blanked and `(select request.…())` unwrapped. `sealed`: it starts with the sealed
-- tenant, and what follows can only narrow it. `guarded`: it asks so first, at a cost that no condition of the caller undercuts (sql/tenancy/protect.sql).
-- `pruned`: it asks so in the form that leaves one partition.
conditions as (
  select p.*, part.is_check, part.source, plain.expression,
    case when p.tenant_column is null then plain.expression ~ 'request\.\w+\('
      else plain.expression ~ format('^(%1$s|%2$s|%3$s)$|^\((%1$s|%2$s|%3$s) AND ', test.guard, test.row, test.reversed)
    end as sealed,
    plain.expression ~ format('^\(*%s', test.guard) as guarded,
    plain.expression ~ test.row as pruned
  from policies p
  cross join lateral (values (p.qual, false), (p.with_check, true)) as part (source, is_check)
  cross join lateral (select regexp_replace(regexp_replace(part.source, '''([^'']|'''')*''', '''''', 'g'),
    '\( SELECT (request\.\w+\([^()]*\)) AS \w+\)', '\1', 'g') as expression) as plain
  cross join lateral (select format('\(?%s\)?(::text)?', p.tenant_column) as own, 'request\.tenant_id\(\)' as sealed) as side
  cross join lateral (select format('\(%s = ANY \(ARRAY\[%s\]\)\)', side.sealed, side.own) as guard,
    format('\(%s = ANY \(ARRAY\[%s\]\)\)', side.own, side.sealed) as reversed,
    format('\((%1$s = %2$s|%2$s = %1$s)\)', side.own, side.sealed) as row) as test
  where part.source is not null
),
-- The same, reduced to what holds of every row that passes: what stands below OR, NOT, CASE, a call or a sub-select is taken out from the
-- inside, and what is left within AND is joined. `#member#`: a test for that role of the tenant.
conjuncts (oid, is_check, rest) as (
  select c.oid, c.is_check, ' AND ' || regexp_replace(regexp_replace(regexp_replace(regexp_replace(c.source,
    '\( SELECT (request\.has_tenant_role\(''\w+''::text\)) AS \w+\)', '\1', 'g'),
    'request\.has_tenant_role\(''(\w+)''::text\)', '#\1#', 'g'), '''([^'']|'''')*''', '''''', 'g'), '"([^"]|"")*"', '""', 'g')
  from conditions c
  union all
  select c.oid, c.is_check, case when joined.rest <> c.rest then joined.rest else regexp_replace(c.rest, '\([^()]*\)', 'x', 'g') end
  from conjuncts c
  cross join lateral (select regexp_replace(c.rest, ' AND \(((?:(?! OR )[^()])*)\)(?= AND |\)|$)', ' AND \1', 'g')) as joined (rest)
  where c.rest ~ '\([^()]*\)'
),
-- The highest role of the tenant that a condition asks for, 1 (viewer) to 4; 5 is none that anybody has.
tenant_roles (oid, is_check, rank) as (
  select c.oid, c.is_check, max(coalesce(array_position(array['viewer', 'member', 'admin', 'owner'], asked.role[1]), 5))
  from conjuncts c
  cross join lateral regexp_matches(c.rest, ' AND #(\w+)#(?= AND |$)', 'g') as asked (role)
  where c.rest !~ '\([^()]*\)'
  group by 1, 2
),
functions as (
  select p.oid, p.oid::regprocedure::text as name, s.name as schema, s.exposed, p.proowner as owner, l.lanname as language,
    p.prosecdef as is_definer, p.proconfig as settings, p.provolatile as volatility, p.proparallel as parallel,
    p.proleakproof as is_leakproof, p.prorettype as returns, p.prosqlbody is not null as is_parsed,
    exists (select from unnest(p.proconfig) as s where s ~ '^search_path=(""|pg_catalog(, ?pg_temp)?)$') as is_pinned,
    coalesce(p.proacl, acldefault('f', p.proowner)) as acl,
    -- Around a remedy: only its owner changes a function, and rowhouse_owner does not inherit from the makers.
    coalesce('set local role ' || maker.name || '; ', '') as before,
    case when maker.name is null then '' else ' reset role;' end as after,
    -- Without comments, and then without strings as well.
    body.code, regexp_replace(body.code, '''([^'']|'''')*''', '''''', 'g') as bare_code
  from pg_catalog.pg_proc p
  join schemas s on s.oid = p.pronamespace
  join pg_catalog.pg_language l on l.oid = p.prolang
  left join known_roles maker on maker.kind = 'maker' and to_regrole(maker.name) = p.proowner
  cross join lateral (select regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
    '(''([^'']|'''')*'')|--[^\n]*|/\*([^*]|\*+[^*/])*\*+/', '\1', 'g') as code) body
  where p.prokind in ('f', 'p')
    and not exists (select from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
),
-- One row for each privilege that anyone but the owner holds. `target` follows GRANT … ON; grantee 0 is PUBLIC.
privileges (kind, oid, name, target, attnum, grantee, privilege, grantable, before, after) as (
  select 'database', d.oid, d.datname::text, format('database %I', d.datname), null::smallint, g.grantee, g.privilege_type, g.is_grantable, '', ''
  from pg_catalog.pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) g
  where d.datname = current_database() and g.grantee <> d.datdba
  union all
  select 'schema', s.oid, s.name, format('schema %I', s.name), null, g.grantee, g.privilege_type, g.is_grantable, '', ''
  from schemas s, aclexplode(s.acl) g where g.grantee <> s.owner
  union all
  select case r.kind when 'S' then 'sequence' else 'relation' end, r.oid, r.name,
    case r.kind when 'S' then 'sequence ' else 'table ' end || r.name, null, g.grantee, g.privilege_type, g.is_grantable, '', ''
  from relations r, aclexplode(r.acl) g where g.grantee <> r.owner
  union all
  select 'column', c.relation, format('%s.%I', c.relation_name, c.name), 'table ' || c.relation_name, c.attnum, g.grantee,
    format('%s (%I)', g.privilege_type, c.name), g.is_grantable, '', ''
  from columns c, aclexplode(c.acl) g where g.grantee <> c.owner
  union all
  select 'function', f.oid, f.name, 'function ' || f.name, null, g.grantee, g.privilege_type, g.is_grantable, f.before, f.after
  from functions f, aclexplode(f.acl) g where g.grantee <> f.owner
  union all
  select 'type', t.oid, t.oid::regtype::text, 'type ' || t.oid::regtype, null, g.grantee, g.privilege_type, g.is_grantable, '', ''
  from pg_catalog.pg_type t join schemas s on s.oid = t.typnamespace,
    aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) g
  where t.typtype in ('d', 'e', 'r') and g.grantee <> t.typowner
)
