-- The wall of one database: an object for everything that decides who reaches what, with its facts. Run with an empty
-- search_path, so that every name is qualified. Names carry no oid and no database name: two databases can be compared.

with schemas as (
  select oid, nspname, nspowner, nspacl from pg_catalog.pg_namespace
  where nspname !~ '^pg_' and nspname not in ('information_schema', 'extensions', 'pgboss')
),
relations as (
  select c.*, c.oid::regclass::text as name, s.nspname,
    (select inhparent::regclass::text from pg_catalog.pg_inherits where inhrelid = c.oid and c.relispartition) as parent,
    case when c.relkind in ('r', 'p') and c.relispartition then 'partition' when c.relkind in ('r', 'p') then 'table' when c.relkind = 'v' then 'view'
      when c.relkind = 'm' then 'materialized view' when c.relkind = 'f' then 'foreign table' when c.relkind = 'S' then 'sequence' end as kind,
    exists (select from pg_catalog.pg_attribute where attrelid = c.oid and attname = 'tenant_id' and not attisdropped) as has_tenant
  from pg_catalog.pg_class c join schemas s on s.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.oid::regclass::text <> 'public.schema_migrations'
),
functions as (
  select p.*, p.oid::regprocedure::text as name from pg_catalog.pg_proc p join schemas s on s.oid = p.pronamespace
),
types as (
  select t.*, t.oid::regtype::text as name from pg_catalog.pg_type t join schemas s on s.oid = t.typnamespace where typtype in ('d', 'e', 'r')
),
-- Beyond our schemas too: a grant there is a way around the wall. Null privileges are the built-in defaults.
privileges (kind, name, parent, owner, acl) as (
  select 'schema', quote_ident(nspname), null, nspowner, coalesce(nspacl, acldefault('n', nspowner)) from pg_catalog.pg_namespace
  where nspname !~ '^pg_(toast|temp)'
  union all
  select 'database', 'this database', null, datdba, coalesce(datacl, acldefault('d', datdba)) from pg_catalog.pg_database
  where datname = current_database()
  union all
  select kind, name, parent, relowner, coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)) from relations
  union all
  select 'table', c.oid::regclass::text, null, relowner, relacl from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace
  where relacl is not null and nspname in ('pg_catalog', 'information_schema', 'extensions', 'pgboss')
  union all
  select 'function', p.oid::regprocedure::text, null, proowner, coalesce(proacl, acldefault('f', proowner)) from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = pronamespace where nspname <> 'pgboss' and (proacl is not null or nspname <> 'pg_catalog')
    and nspname !~ '^pg_(toast|temp)'
  union all
  select 'type', name, null, typowner, coalesce(typacl, acldefault('T', typowner)) from types
  union all
  -- Its grants go by the name alone: what everyone may read stays readable.
  select 'parameter', parname, null, 10::oid, paracl from pg_catalog.pg_parameter_acl
),
-- One row for a role and what it may do with an object, with columns where it is not the whole of it.
grants as (
  select p.kind, p.name, p.parent, p.owner, g.grantee, lower(g.privilege_type) as privilege, g.is_grantable from privileges p, aclexplode(p.acl) g
  union all
  select r.kind, r.name, r.parent, r.relowner, g.grantee,
    lower(g.privilege_type) || ' (' || quote_ident(a.attname) || ')', g.is_grantable
  from relations r join pg_catalog.pg_attribute a on a.attrelid = r.oid and not a.attisdropped, aclexplode(a.attacl) g
),
keys as (
  select c.*, coalesce(nullif(conrelid, 0)::regclass::text, contypid::regtype::text) as target, r.has_tenant,
    (select attname from pg_catalog.pg_attribute where attrelid = conrelid and attnum = conkey[1]) as first_column,
    case when contype = 'f' then (select attname from pg_catalog.pg_attribute where attrelid = confrelid and attnum = confkey[1]) end as first_there,
    exists (select from pg_catalog.pg_attribute where attrelid = nullif(confrelid, 0) and attname = 'tenant_id' and not attisdropped) as tenant_there
  from pg_catalog.pg_constraint c join schemas s on s.oid = c.connamespace left join relations r on r.oid = c.conrelid
  where conparentid = 0 and (conislocal or contypid <> 0) and contype <> 'n'
    and conrelid is distinct from to_regclass('public.schema_migrations')
)
select kind, name, jsonb_strip_nulls(facts) as facts from (
  select 'schema' as kind, quote_ident(nspname) as name, jsonb_build_object('owner', nspowner::regrole) as facts from schemas
  union all
  select kind, name, jsonb_build_object('owner', relowner::regrole, 'parent', parent, 'schema', nspname, 'has_tenant', has_tenant)
    || case when kind in ('table', 'partition') then jsonb_build_object('rls', relrowsecurity, 'forced', relforcerowsecurity,
        'partition_key', pg_get_partkeydef(oid)) else '{}' end
    || case when kind in ('view', 'materialized view') then jsonb_build_object('definition', pg_get_viewdef(oid)) else '{}' end
    || case when kind = 'view' then jsonb_build_object('security_invoker', coalesce(reloptions::text ~ 'security_invoker=(true|on|1|yes)', false),
        'security_barrier', coalesce(reloptions::text ~ 'security_barrier=(true|on|1|yes)', false),
        'check_option', substring(reloptions::text from 'check_option=(\w+)')) else '{}' end
  from relations where kind <> 'sequence'
  union all
  select 'column', r.name || '.' || quote_ident(a.attname), jsonb_build_object('of', r.name, 'of_kind', r.kind, 'column', a.attname,
    'type', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull, 'default', pg_get_expr(d.adbin, d.adrelid),
    'generated', nullif(a.attgenerated, ''), 'identity', nullif(a.attidentity, ''), 'collation', nullif(a.attcollation, 0)::regcollation)
  from relations r join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where r.kind not in ('partition', 'sequence')
  union all
  select 'policy', quote_ident(polname) || ' on ' || r.name, jsonb_build_object('permissive', polpermissive,
    'command', case polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' else 'delete' end,
    'roles', (select jsonb_agg(coalesce(rolname, 'PUBLIC') order by rolname) from unnest(polroles) as member
      left join pg_catalog.pg_roles on pg_roles.oid = member),
    'using', pg_get_expr(polqual, polrelid), 'check', pg_get_expr(polwithcheck, polrelid), 'of', r.name, 'of_kind', r.kind, 'has_tenant', r.has_tenant)
  from pg_catalog.pg_policy p join relations r on r.oid = p.polrelid
  union all
  select 'constraint', quote_ident(conname) || ' on ' || target, jsonb_build_object('type', contype, 'of', target,
    'definition', regexp_replace(pg_get_constraintdef(oid), ' NOT (VALID|ENFORCED)$', ''), 'validated', convalidated, 'enforced', conenforced,
    'tenant_leads', case when has_tenant and contype in ('p', 'u', 'x') then first_column = 'tenant_id'
      when has_tenant and contype = 'f' then first_column = 'tenant_id' and (first_there = 'tenant_id' or not tenant_there) end)
  from keys
  union all
  select 'index', i.indexrelid::regclass::text, jsonb_build_object('of', r.name, 'unique', i.indisunique, 'valid', i.indisvalid,
    'definition', pg_get_indexdef(i.indexrelid), 'tenant_leads', case when r.has_tenant then a.attname is not distinct from 'tenant_id' end)
  from relations r join pg_catalog.pg_index i on i.indrelid = r.oid
  left join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum = i.indkey[0]
  where r.kind <> 'partition' and not exists (select from pg_catalog.pg_constraint where conindid = i.indexrelid and contype in ('p', 'u', 'x'))
  union all
  select 'trigger', quote_ident(tgname) || ' on ' || r.name, jsonb_build_object('definition', pg_get_triggerdef(t.oid), 'of', r.name,
    'enabled', case tgenabled when 'O' then 'yes' when 'D' then 'no' when 'R' then 'on replicas only' else 'always' end,
    'function', tgfoid::regprocedure)
  from pg_catalog.pg_trigger t join relations r on r.oid = t.tgrelid where not tgisinternal and tgparentid = 0
  union all
  -- The whole text, and beside it what of it the rules look at.
  select 'function', name, jsonb_build_object('owner', proowner::regrole, 'definer', prosecdef, 'settings', array_to_string(proconfig, ', '),
    'volatility', case provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end, 'leakproof', proleakproof,
    'strict', proisstrict, 'parallel', proparallel, 'language', (select lanname from pg_catalog.pg_language where oid = prolang),
    'arguments', pg_get_function_arguments(oid), 'result', pg_get_function_result(oid), 'parsed', prosqlbody is not null,
    'body', coalesce(pg_get_function_sqlbody(oid), prosrc), 'planning', concat_ws(' ', 'cost', procost, 'rows', prorows))
  from functions where prokind <> 'a'
  union all
  select 'grant', format('to %s on %s %s', coalesce(rolname, 'PUBLIC'), kind, g.name), jsonb_build_object('grantee', coalesce(rolname, 'PUBLIC'),
    'on', g.name, 'of_kind', kind, 'parent', parent,
    'privileges', jsonb_agg(privilege || case when is_grantable then ' with grant option' else '' end order by privilege))
  from grants g left join pg_catalog.pg_roles on pg_roles.oid = grantee where grantee <> owner group by rolname, kind, g.name, parent
  union all
  select 'default privilege', format('to %s on %s that %s makes%s', coalesce(r.rolname, 'PUBLIC'),
      case d.type when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types' when 'n' then 'schemas' end,
      d.maker::regrole, coalesce(' in ' || nullif(d.space, 0)::regnamespace, '')),
    jsonb_build_object('grantee', coalesce(r.rolname, 'PUBLIC'), 'privileges', jsonb_agg(lower(g.privilege_type) order by g.privilege_type))
  from (
    select w.oid as maker, t.type, 0::oid as space, coalesce(own.defaclacl, acldefault(case t.type when 'S' then 's' else t.type end, w.oid)) as acl
    from pg_catalog.pg_roles w cross join unnest('{r,S,f,T,n}'::"char"[]) as t (type)
    left join pg_catalog.pg_default_acl own on own.defaclrole = w.oid and own.defaclobjtype = t.type and own.defaclnamespace = 0
    where w.rolname ~ '^rowhouse_' or own.oid is not null
    union all
    select defaclrole, defaclobjtype, defaclnamespace, defaclacl from pg_catalog.pg_default_acl
    where defaclnamespace <> 0 and defaclobjtype <> 'L'
  ) as d, aclexplode(d.acl) g left join pg_catalog.pg_roles r on r.oid = g.grantee
  where g.grantee <> d.maker group by r.rolname, d.type, d.maker, d.space
  union all
  select 'role', rolname, jsonb_build_object('superuser', rolsuper, 'bypassrls', rolbypassrls, 'createrole', rolcreaterole, 'createdb', rolcreatedb,
    'replication', rolreplication, 'login', rolcanlogin, 'inherit', rolinherit, 'settings', (select string_agg(setting, ', ' order by setting)
      from pg_catalog.pg_db_role_setting, unnest(setconfig) as setting
      where setrole = pg_roles.oid and setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database()))))
  from pg_catalog.pg_roles where oid >= 16384
  union all
  select 'membership', format('of %s in %s', m.member::regrole, m.roleid::regrole),
    jsonb_build_object('admin', bool_or(admin_option), 'inherit', bool_or(inherit_option), 'set', bool_or(set_option),
      'member', m.member::regrole, 'role', m.roleid::regrole)
  from pg_catalog.pg_auth_members m where m.member >= 16384 group by m.member, m.roleid
  union all
  select 'database', 'this database', jsonb_build_object('owner', datdba::regrole, 'settings', (select string_agg(setting, ', ' order by setting)
    from pg_catalog.pg_db_role_setting, unnest(setconfig) as setting where setdatabase = pg_database.oid and setrole = 0))
  from pg_catalog.pg_database where datname = current_database()
  union all
  select 'extension', extname, jsonb_build_object('version', extversion, 'schema', extnamespace::regnamespace) from pg_catalog.pg_extension
  union all
  select 'publication', quote_ident(pubname), jsonb_build_object('all_tables', puballtables, 'tables',
    (select string_agg(format('%I.%I', schemaname, tablename), ', ' order by 1) from pg_catalog.pg_publication_tables t where t.pubname = p.pubname))
  from pg_catalog.pg_publication p
) as wall
order by kind collate "C", name collate "C";
