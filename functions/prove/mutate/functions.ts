import type { ClientBase } from 'pg';

export interface FunctionInfo {
  /** With its argument types. */
  name: string;
  /** As it is called: `schema.name`. */
  called: string;
  definition: string;
  language: string;
  returnsBoolean: boolean;
  /** What follows AS, or the body that was parsed when it was made; and where it begins in the definition. */
  body: string;
  offset: number;
  /** Raises an error, itself or in what it calls. */
  raises: boolean;
  /** Decides who is who: it may write the seal, or a policy or a default calls it, or one of these does. */
  gate: boolean;
  /** Works with more rights than its caller, who is a client: a definer that clients reach, and what it calls. */
  lent: boolean;
  /** Tables that show the function's owner the sealed tenant's rows alone. */
  boundTables: ReadonlySet<string>;
}

type Row = Omit<FunctionInfo, 'body' | 'offset' | 'raises' | 'gate' | 'lent' | 'boundTables'> & { owner: number } & {
  sealer: boolean;
  named: boolean;
  reached: boolean;
};

const FUNCTIONS = `
select p.oid::regprocedure::text as name, n.nspname || '.' || p.proname as called, pg_get_functiondef(p.oid) as definition, l.lanname as language, p.proowner as owner,
  p.prorettype = 'boolean'::regtype as "returnsBoolean",
  exists (select from pg_catalog.pg_parameter_acl, aclexplode(paracl) g where g.grantee = p.proowner) as sealer,
  exists (select from pg_catalog.pg_depend d where d.refclassid = 'pg_catalog.pg_proc'::regclass and d.refobjid = p.oid
    and d.classid in ('pg_catalog.pg_policy'::regclass, 'pg_catalog.pg_attrdef'::regclass)) as named,
  p.prosecdef and (has_function_privilege('tenant_user', p.oid, 'execute') or has_function_privilege('operator', p.oid, 'execute')
    -- tgtype: 64 instead of (PostgreSQL's pg_trigger.h)
    or exists (select from pg_catalog.pg_trigger where tgfoid = p.oid and tgtype & 64 > 0)) as reached
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_language l on l.oid = p.prolang
where p.prokind = 'f' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'extensions', 'pgboss')
order by 1`;

const BOUND_TABLES = `
select member as role, polrelid::regclass::text as name from pg_catalog.pg_policy cross join unnest(polroles) as member where polpermissive
group by 1, 2 having bool_and(pg_get_expr(coalesce(polqual, polwithcheck), polrelid) ~ '\\mrequest\\.tenant_id\\(\\)')`;

function bodyOf(definition: string): { body: string; offset: number } {
  const quoted = /\nAS (\$\w*\$)/.exec(definition);
  if (quoted) {
    const offset = quoted.index + quoted[0].length;
    return { body: definition.slice(offset, definition.lastIndexOf(quoted[1] as string)), offset };
  }
  const offset = /\n(?:RETURN|BEGIN ATOMIC)\b/.exec(definition)?.index ?? definition.length;
  return { body: definition.slice(offset), offset };
}

/** Everything that a set of functions leads to. */
function closure(from: ReadonlySet<string>, leadsTo: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set(from);
  for (const one of reached) for (const next of leadsTo.get(one) ?? []) reached.add(next);
  return reached;
}

/** Functions with what their place in the wall is, as their bodies, owners and callers tell. */
export async function readFunctions(client: ClientBase): Promise<FunctionInfo[]> {
  const { rows } = await client.query<Row>(FUNCTIONS);
  const all = rows.map((row) => ({ ...row, ...bodyOf(row.definition) }));
  const names = [...new Set(all.map(({ called }) => called))];
  const calls = new Map<string, string[]>(names.map((name) => [name, []]));
  const callers = new Map<string, string[]>(names.map((name) => [name, []]));
  for (const { called, body } of all) {
    for (const name of names) {
      if (name === called || !new RegExp(`(?<![\\w.])${name.replaceAll('.', '\\.')}\\(`).test(body)) continue;
      calls.get(called)?.push(name);
      callers.get(name)?.push(called);
    }
  }
  const those = (is: (one: (typeof all)[number]) => boolean) => new Set(all.filter(is).map(({ called }) => called));
  const raises = closure(
    those(({ language, body }) => language === 'plpgsql' && /\braise (?!notice|warning|info|log|debug)/i.test(body)),
    callers,
  );
  const gate = closure(
    those(({ sealer, named }) => sealer || named),
    calls,
  );
  const lent = closure(
    those(({ reached }) => reached),
    calls,
  );
  const { rows: bound } = await client.query<{ role: number; name: string }>(BOUND_TABLES);
  return all.map((one) => ({
    ...one,
    boundTables: new Set(bound.flatMap(({ role, name }) => (role === one.owner ? [name] : []))),
    raises: raises.has(one.called),
    gate: gate.has(one.called),
    lent: lent.has(one.called),
  }));
}
