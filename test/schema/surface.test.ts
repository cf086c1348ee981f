import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';

// What anyone can reach, as files that a DBA can read. A change here is a change of the wall: review it as one, then
// `npm test -- --update`.

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
});

afterAll(() => stack?.stop());

const lines = async (sql: string) => {
  const { rows } = await stack.admin.query(sql);
  expect(rows.length).toBeGreaterThan(0);
  return `${rows.map((row) => row.line).join('\n')}\n`;
};

const ROLES = `(select rolname from pg_roles
  where rolname in ('anon', 'authenticator', 'operator', 'tenant_user', 'rowhouse_edge', 'rowhouse_worker', 'rowhouse_sealer', 'rowhouse_migrator'))`;
const OURS = `('request', 'auth', 'tenancy', 'ledger', 'app', 'v1', 'admin')`;

test('the API is exactly these relations, columns and functions', async () => {
  await expect(
    await lines(`
      select line from (
        select format('%s.%s (%s)', nspname, relname, string_agg(attname, ', ' order by attnum)) as line
        from pg_class join pg_namespace n on n.oid = relnamespace
        join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
        where nspname in ('v1', 'admin') and relkind in ('r', 'v', 'm', 'f', 'p') group by nspname, relname
        union all
        select format('%s.%s(%s) returns %s%s', nspname, proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
          case when prosecdef then ', security definer' else '' end)
        from pg_proc p join pg_namespace n on n.oid = pronamespace where nspname in ('v1', 'admin')
      ) as surface order by line`),
  ).toMatchFileSnapshot('surface.txt');
});

test('each role has exactly these privileges', async () => {
  await expect(
    await lines(`
      select line from (
        select format('%-17s  schema    %-28s %s', rolname, nspname, string_agg(privilege, ', ' order by privilege)) as line
        from ${ROLES} as roles cross join pg_namespace n cross join unnest('{USAGE,CREATE}'::text[]) as privilege
        where nspname in ${OURS} and has_schema_privilege(rolname, n.oid, privilege) group by rolname, nspname
        union all
        select format('%-17s  relation  %-28s %s', rolname, c.oid::regclass, string_agg(privilege, ', ' order by privilege))
        from ${ROLES} as roles cross join pg_class c
        cross join unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) as privilege
        where relnamespace::regnamespace::text in ${OURS} and relkind in ('r', 'v', 'm', 'f', 'p')
          and has_table_privilege(rolname, c.oid, privilege) group by rolname, c.oid
        union all
        select format('%-17s  columns   %-28s %s (%s)', rolname, c.oid::regclass, privilege, string_agg(attname, ', ' order by attnum))
        from ${ROLES} as roles cross join pg_class c
        cross join unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) as privilege
        join pg_attribute on attrelid = c.oid and attnum > 0 and not attisdropped
        where relnamespace::regnamespace::text in ${OURS} and relkind in ('r', 'v', 'm', 'f', 'p')
          and not has_table_privilege(rolname, c.oid, privilege) and has_column_privilege(rolname, c.oid, attnum, privilege)
        group by rolname, c.oid, privilege
        union all
        select format('%-17s  sequence  %-28s %s', rolname, c.oid::regclass, string_agg(privilege, ', ' order by privilege))
        from ${ROLES} as roles cross join pg_class c cross join unnest('{SELECT,USAGE,UPDATE}'::text[]) as privilege
        where relnamespace::regnamespace::text in ${OURS} and relkind = 'S' and has_sequence_privilege(rolname, c.oid, privilege)
        group by rolname, c.oid
        union all
        select format('%-17s  function  %s', rolname, p.oid::regprocedure)
        from ${ROLES} as roles cross join pg_proc p
        where pronamespace::regnamespace::text in ${OURS} and has_function_privilege(rolname, p.oid, 'EXECUTE')
        union all
        select format('%-17s  parameter %-28s SET', rolname, 'backtrace_functions')
        from ${ROLES} as roles where auth.seal_is_protected() and has_parameter_privilege(rolname, 'backtrace_functions', 'SET')
      ) as matrix order by line`),
  ).toMatchFileSnapshot('privileges.txt');
});

test('nothing of ours is granted to PUBLIC', async () => {
  const { rows } = await stack.admin.query(`
    select * from (
      select c.oid::regclass::text as object from pg_class c, aclexplode(relacl) a where relnamespace::regnamespace::text in ${OURS} and a.grantee = 0
      union all select p.oid::regprocedure::text from pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
        where pronamespace::regnamespace::text in ${OURS} and a.grantee = 0
      union all select n.nspname from pg_namespace n, aclexplode(nspacl) a where nspname in ${OURS} and a.grantee = 0
      union all select t.oid::regtype::text from pg_type t, aclexplode(coalesce(typacl, acldefault('T', typowner))) a
        where typnamespace::regnamespace::text in ${OURS} and typtype = 'd' and a.grantee = 0
    ) as open`);
  expect(rows).toEqual([]);
});

test('no role but the superuser bypasses row-level security, and only the sealer’s functions and the owner’s are definers', async () => {
  const bypass = await stack.admin.query(
    `select rolname from pg_roles where (rolsuper or rolbypassrls) and rolname !~ '^pg_'`,
  );
  expect(bypass.rows.map((row) => row.rolname)).toEqual(['postgres']);
  await expect(
    await lines(`
      select format('%-17s %s', proowner::regrole, p.oid::regprocedure) as line
      from pg_proc p where pronamespace::regnamespace::text in ${OURS} and prosecdef order by 1`),
  ).toMatchFileSnapshot('definers.txt');
});

test('every function pins its search_path, or is an accessor whose body was parsed when it was made', async () => {
  const { rows } = await stack.admin.query(`
    select p.oid::regprocedure::text as function from pg_proc p
    where pronamespace::regnamespace::text in ${OURS} and not ('search_path=""' = any (coalesce(proconfig, '{}'))) and prosqlbody is null`);
  expect(rows).toEqual([]);
});

test('everything that a client sees has a comment', async () => {
  const { rows } = await stack.admin.query(`
    select c.oid::regclass::text as object from pg_class c
    where relnamespace::regnamespace::text in ('v1', 'admin') and relkind in ('v', 'r') and obj_description(c.oid, 'pg_class') is null
    union all select p.oid::regprocedure::text from pg_proc p
    where pronamespace::regnamespace::text in ${OURS} and obj_description(p.oid, 'pg_proc') is null`);
  expect(rows).toEqual([]);
});
