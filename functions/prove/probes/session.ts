import { isTenantData, nameOf, type Relation } from '../catalogue.ts';
import type { Lab } from '../lab.ts';
import { telling } from '../leaks.ts';
import { carried } from '../markers.ts';
import type { Family, Probe, Verdict } from '../types.ts';
import { type Session, shown } from './login.ts';

const SHOWN_ROWS = 200;

type Setup = readonly [sql: string, values?: unknown[]][];

/** Ways to be taken for a member of B without a token of B's. */
function forgedSettings(lab: Lab): Setup {
  const { B } = lab.world.tenants;
  const claims = JSON.stringify({
    role: 'tenant_user',
    tenant_id: B,
    tenant_role: 'owner',
    sub: lab.world.subject('B', 'owner'),
    user_metadata: { tenant_id: B },
    app_metadata: { tenant_id: B },
  });
  const hex = (text: string) => Buffer.from(text).toString('hex');
  const seal = `${B} 4 tenant_user ${hex(lab.world.subject('B', 'owner'))} ${hex('prove')}`;
  const forged = [...lab.world.tokens].find(([name]) => name.startsWith('forged_'))?.[1] ?? 'x';
  return [
    [`select set_config('request.jwt.claims', $1, true)`, [claims]],
    [
      `select set_config('request.headers', $1, true)`,
      [JSON.stringify({ authorization: `Bearer ${forged}`, 'x-tenant-id': B })],
    ],
    [`select set_config('rowhouse.token', $1, true)`, [forged]],
    [
      `select set_config('rowhouse.tenant_id', $1, true), set_config('app.tenant_id', $1, true), set_config('app.current_tenant', $1, true)`,
      [B],
    ],
    [`select set_config('backtrace_functions', $1, true)`, [seal]],
    [`update pg_settings set setting = '${seal}' where name = 'backtrace_functions'`],
    [`select auth.enter($1)`, [forged]],
  ];
}

/** Everything that a relation is made of: itself, its tables, and of each the partition that B's rows are in. */
function objectsOf(lab: Lab, relation: Relation): string[] {
  const quoted = `"${relation.schema}"."${relation.name.replaceAll('"', '""')}"`;
  return [quoted, ...relation.bases.flatMap((base) => [...new Set([base, lab.world.partitions.get(base) ?? base])])];
}

/** Each of them at the door itself: what PostgREST would refuse is tried here. */
function forgedTokens(lab: Lab): Setup {
  const forged = [...lab.world.tokens].filter(([name]) => name.startsWith('forged_') && !name.endsWith('_none'));
  // A service's own token is a forgery over HTTP alone: those logins mint such tokens.
  const distinct = forged.filter(([name]) => /_(?:owner|operator)$/.test(name) && !name.includes('a_worker'));
  return distinct.map(([, token]) => ['select auth.enter($1)', [token]]);
}

type Run = (sql: string, values?: unknown[]) => ReturnType<typeof shown>;

/** Writes without a condition, so that no policy for reading comes between: they must not touch more than can be seen. */
async function overreaches(run: Run, object: string, column: string): Promise<string[]> {
  const visible = await run(`select count(*)::int as count from ${object}`);
  const most = visible.failed ? 0 : ((visible.rows[0] as { count: number } | undefined)?.count ?? 0);
  const problems: string[] = [];
  for (const [verb, sql] of [
    ['updated', `update ${object} set "${column}" = "${column}"`],
    ['deleted', `delete from ${object}`],
  ] as const) {
    const { touched, failed } = await run(sql);
    if (!failed && !visible.failed && touched > most)
      problems.push(`${touched} rows of ${object} are ${verb} where ${most} are seen`);
  }
  return problems;
}

async function attempt(
  lab: Lab,
  { client }: Session,
  role: string,
  relation: Relation,
  setup: Setup,
  proof: boolean,
): Promise<Verdict> {
  let requests = 0;
  const problems: string[] = [];
  await client.query('begin');
  try {
    const run: Run = (sql, values) => {
      requests++;
      return shown(client, sql, values);
    };
    await run(`set local role ${role}`);
    for (const [sql, values] of setup) await run(sql, values);
    let seen = false;
    const column = relation.grants.tenant_user?.update[0] ?? relation.columns[0]?.name ?? 'id';
    for (const object of objectsOf(lab, relation)) {
      const b = await run(`select to_jsonb(t) as row from ${object} as t where t::text like $1 limit ${SHOWN_ROWS}`, [
        `%${lab.world.tenants.B}%`,
      ]);
      const any = await run(`select to_jsonb(t) as row from ${object} as t limit ${SHOWN_ROWS}`);
      const untainted = lab.markers.filter(({ text }) => telling(lab, nameOf(relation), text));
      const found = carried({ body: `${b.text}\n${any.text}`, headers: {} }, '', untainted);
      seen ||= found.length > 0;
      if (proof) break;
      if (found.length > 0) problems.push(`${object} shows B's ${found[0]}`);
      problems.push(...(await overreaches(run, object, column)));
    }
    if (proof && !seen) problems.push("B's own session sees nothing");
  } finally {
    await client.query('rollback');
  }
  if (problems.length === 0) return { outcome: 'held', requests };
  const road = [
    'begin',
    `set local role ${role}`,
    ...setup.map(([sql]) => sql),
    `table ${relation.schema}.${relation.name}`,
  ];
  return {
    outcome: proof ? 'vacuous' : 'leak',
    requests,
    reason: problems.join('; '),
    curl: `psql -c ${JSON.stringify(road.join('; '))}`,
  };
}

/** Whether a role may see rows of the relation at all, when sealed for their tenant. */
function mayRead(relation: Relation, role: string): boolean {
  return relation.grants[role as 'tenant_user']?.select === true;
}

/** Each login's password in the wrong hands: every role that it may take, unsealed, with forged settings, and sealed for A. */
export function sessionProbes(lab: Lab, relation: Relation, session: Session, role: string): Probe[] {
  const { tokens } = lab.world;
  const asB = role === 'tenant_user' ? tokens.get('B_owner') : undefined;
  const serves = role === session.login && role !== 'authenticator';
  const enterA: Setup = serves
    ? [[`select auth.enter(auth.issue_service_token($1, 'prove'))`, [lab.world.tenants.A]]]
    : [[`select auth.enter($1)`, [tokens.get('A_owner')]]];
  const beforeRole = (setup: Setup): Setup => [['reset role'], ...setup, [`set local role ${role}`]];
  const families: [Family, string, Setup][] = [
    ['unsealed', 'without a token', []],
    ['setting', 'with every setting forged', forgedSettings(lab)],
    ['setting', 'with row_security off', [['set local row_security = off']]],
    ['sealed', 'sealed for A', beforeRole(enterA)],
    ['setting', 'with every forged token', beforeRole(forgedTokens(lab))],
    ['sealed', 'sealed for A, then for B', beforeRole([...enterA, ['select auth.enter($1)', [tokens.get('B_owner')]]])],
    ['sealed', 'sealed for A, then with every setting forged', [...beforeRole(enterA), ...forgedSettings(lab)]],
  ];
  return families.map(
    ([family, title, setup]): Probe => ({
      relation: nameOf(relation),
      verb: 'session',
      role: session.login === role ? role : `${session.login} as ${role}`,
      family,
      door: 'session',
      title,
      attack: { door: 'session', method: 'SQL', schema: relation.schema, path: relation.name, token: null },
      run: async () => {
        if (asB && mayRead(relation, role) && isTenantData(lab.catalogue, relation) && family !== 'unsealed') {
          const proof = await attempt(
            lab,
            session,
            role,
            relation,
            beforeRole([[`select auth.enter($1)`, [asB]]]),
            true,
          );
          if (proof.outcome !== 'held') return proof;
        }
        return attempt(lab, session, role, relation, setup, false);
      },
    }),
  );
}
