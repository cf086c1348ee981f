import type { ClientBase } from 'pg';
import { operands, replaced, type Span, spanOf, tokenize } from './tokens.ts';
import type { Generated } from './types.ts';

interface Policy {
  name: string;
  table: string;
  command: string;
  permissive: boolean;
  roles: string;
  public: boolean;
  qual: string | null;
  check: string | null;
  /** Whether one of its roles holds a grant on the table; and one to write. */
  reached: boolean;
  written: boolean;
}

const POLICIES = `
select quote_ident(polname) as name, polrelid::regclass::text as table, polpermissive as permissive, 0 = any (polroles) as public,
  case polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end as command,
  (select string_agg(case member when 0 then 'public' else member::regrole::text end, ', ' order by member) from unnest(polroles) as member) as roles,
  (select coalesce(bool_or(has_any_column_privilege(r.oid, polrelid, 'select, insert, update') or has_table_privilege(r.oid, polrelid, 'delete')), false)
    from unnest(polroles) as member join pg_catalog.pg_roles r on r.oid = member or member = 0) as reached,
  (select coalesce(bool_or(has_any_column_privilege(r.oid, polrelid, 'insert, update') or has_table_privilege(r.oid, polrelid, 'delete')), false)
    from unnest(polroles) as member join pg_catalog.pg_roles r on r.oid = member or member = 0) as written,
  pg_get_expr(polqual, polrelid) as qual, pg_get_expr(polwithcheck, polrelid) as check
from pg_catalog.pg_policy own
join pg_catalog.pg_class c on c.oid = polrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'extensions', 'pgboss')
order by 2, 1`;

const UNREACHED = 'none of its roles holds a grant on the table: to add one is a mutant of its own';
const GUARD = /= any \(array\[/i;
const ROLE = /has_tenant_role\('(\w+)'/;

function clause({ qual, check }: Pick<Policy, 'qual' | 'check'>): string {
  return `${qual === null ? '' : ` using (${qual})`}${check === null ? '' : ` with check (${check})`}`;
}

/**
 * Each condition made true, each of its conjuncts dropped, the role that it asks for lowered, the policy given to everyone.
 * A permissive policy is not dropped: without it there is less to see.
 */
function* weakened(policy: Policy): Generator<{ how: string; sql: string; undo: string; reason?: string | undefined }> {
  const { name, table, command, permissive, roles } = policy;
  const alter = `alter policy ${name} on ${table}`;
  const drop = `drop policy ${name} on ${table}`;
  const create = (verb: string, parts: Pick<Policy, 'qual' | 'check' | 'permissive'>) =>
    `create policy ${name} on ${table} as ${parts.permissive ? 'permissive' : 'restrictive'} for ${verb} to ${roles}${clause(parts)}`;
  const undo = `${alter}${clause(policy)}`;
  for (const [part, keyword, expression] of [
    ['qual', 'using', policy.qual],
    ['check', 'with check', policy.check],
  ] as const) {
    if (expression === null || expression === 'true') continue;
    yield { how: `${keyword} (true)`, sql: `${alter} ${keyword} (true)`, undo };
    const tokens = tokenize(expression);
    const conjuncts = operands(tokens, 'and').map((conjunct) => spanOf(conjunct));
    const textOf = ({ start, end }: Span) => expression.slice(start, end);
    const tenantTests = conjuncts.filter((span) => textOf(span).includes('request.tenant_id()'));
    for (const span of conjuncts.length > 1 ? conjuncts : []) {
      const text = textOf(span);
      const alike = part === 'check' && tenantTests.length > 1 && tenantTests.includes(span) && !GUARD.test(text);
      yield {
        how: `${keyword} without ${GUARD.test(text) ? 'its guard' : text.replaceAll(/\s+/g, ' ')}`,
        sql: `${alter} ${keyword} (${replaced(expression, span, 'true')})`,
        undo,
        reason: alike
          ? 'the half that stays is the whole test where rows are written: no condition of the caller runs before it'
          : ROLE.test(text) && !policy.reached
            ? UNREACHED
            : undefined,
      };
    }
    const least = ROLE.exec(expression)?.[1];
    if (least !== undefined && least !== 'viewer')
      yield {
        how: `${keyword} asks for a viewer, not ${least}`,
        sql: `${alter} ${keyword} (${expression.replace(ROLE, "has_tenant_role('viewer'")})`,
        undo,
      };
  }
  if (!policy.public) yield { how: 'to public', sql: `${alter} to public`, undo: `${alter} to ${roles}` };
  if (!permissive) {
    yield { how: 'dropped', sql: drop, undo: create(command, policy) };
    yield {
      how: 'permissive',
      sql: `${drop}; ${create(command, { ...policy, permissive: true })}`,
      undo: `${drop}; ${create(command, policy)}`,
    };
  }
  if (permissive && command === 'select') {
    const all = create('all', { ...policy, check: policy.qual });
    yield {
      how: 'for all verbs',
      sql: `${drop}; ${all}`,
      undo: `${drop}; ${create(command, policy)}`,
      reason:
        policy.written || !policy.reached
          ? undefined
          : 'none of its roles holds a grant to write: to add one is a mutant of its own',
    };
  }
}

/** Policies of every table; partitions have none of their own. */
export async function policyMutants(client: ClientBase): Promise<Generated> {
  const { rows } = await client.query<Policy>(POLICIES);
  const made = rows.flatMap((policy) =>
    [...weakened(policy)].map((mutant) => ({
      class: 'policy',
      element: `${policy.name} on ${policy.table}`,
      cluster: false,
      ...mutant,
    })),
  );
  return {
    mutants: made.filter(({ reason }) => reason === undefined),
    excluded: made.flatMap(({ class: name, element, how, reason }) =>
      reason ? [{ class: name, element, how, reason }] : [],
    ),
  };
}
