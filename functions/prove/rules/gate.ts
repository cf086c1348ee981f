import type { Acting, Rule } from './types.ts';

const headers = (values: Record<string, string>) => JSON.stringify(values);
const PASS = 'select auth.pre_request()';
const SAY = `select set_config('request.headers', $1, true)`;

/** What PostgREST does before a call: the role of the token, the headers of the request, the gate. */
export async function request(
  { ok, facts }: Acting,
  token: string,
  role: string,
  more: Record<string, string> = {},
): Promise<void> {
  await ok(`set local role ${role}`);
  await ok(SAY, [
    headers({ authorization: `Bearer ${facts.tokens.get(token) ?? facts.world.tokens.get(token)}`, ...more }),
  ]);
}

const rule = (title: string, check: Rule['check'], more: Partial<Rule> = {}): Rule => ({
  about: 'auth.pre_request()',
  family: 'gate',
  title,
  login: 'authenticator',
  check,
  ...more,
});

const entering = { about: 'auth.enter(text)' };
const sealed = { about: 'request.tenant_id()' };

export const gateRules: Rule[] = [
  rule('a request without a token is told to bring one', async ({ ok, refused }) => {
    await ok('set local role anon');
    for (const said of ['', '{}', '{"authorization":"Basic eDp5"}']) {
      await ok(SAY, [said]);
      await refused('token_required: null', PASS);
    }
  }),
  rule('a header with a NUL is refused, and one that spells it is not', async (acting) => {
    const spelled = (text: string) => acting.ok(SAY, [`{"user-agent":"${text}"}`]);
    await acting.ok('set local role anon');
    await spelled('a\\\\u0000');
    await acting.refused('token_required: null', PASS);
    for (const sent of ['\\u0000', 'a\\\\\\u0000']) {
      await spelled(sent);
      await acting.refused('request_invalid: a header has a NUL in it', PASS);
    }
    await request(acting, 'A_owner', 'tenant_user', { 'user-agent': '\0' });
    await acting.refused('request_invalid: a header has a NUL in it', PASS);
  }),
  rule('the role of the request is the role of the token', async (acting) => {
    await acting.aside(async () => {
      await request(acting, 'A_owner', 'tenant_user');
      await acting.ok(PASS);
    });
    await request(acting, 'A_owner', 'operator');
    await acting.refused('token_invalid: the role of the request is not the role of the token', PASS);
  }),
  rule('X-Tenant-Id names the tenant of the token', async (acting) => {
    const { A, B } = acting.facts.world.tenants;
    await acting.aside(async () => {
      await request(acting, 'A_owner', 'tenant_user', { 'x-tenant-id': A });
      await acting.ok(PASS);
    });
    await request(acting, 'A_owner', 'tenant_user', { 'x-tenant-id': B });
    await acting.refused('tenant_mismatch', PASS);
  }),
  ...['planned', 'estimated'].map((mode) =>
    rule(`counts are exact, not ${mode}`, async (acting) => {
      await acting.aside(async () => {
        await request(acting, 'A_owner', 'tenant_user', { prefer: 'count=exact' });
        await acting.ok(PASS);
      });
      await request(acting, 'A_owner', 'tenant_user', { prefer: `count=${mode}` });
      await acting.refused('count_inexact', PASS);
    }),
  ),
  rule('the gate is not passed from inside a call', async (acting) => {
    await request(acting, 'A_owner', 'tenant_user');
    await acting.aside(async () => {
      await acting.ok(PASS);
    });
    await acting.refused(
      'context_sealed: the gate is passed before a call, not from inside it',
      `do 'begin perform auth.pre_request(); end'`,
    );
  }),
  rule(
    'one transaction has one context',
    async ({ enter, aside, refused, facts }) => {
      await aside(() => enter('B_owner'));
      await enter('A_owner');
      await enter('A_owner');
      await refused('context_sealed: one transaction, one context', 'select auth.enter($1)', [
        facts.world.tokens.get('B_owner'),
      ]);
    },
    entering,
  ),
  rule(
    'a context is entered in no older snapshot',
    async ({ refused, facts }) => {
      await refused('context_sealed: a context is entered in isolation level read committed', 'select auth.enter($1)', [
        facts.world.tokens.get('A_owner'),
      ]);
    },
    { ...entering, isolation: 'repeatable read' },
  ),
  rule(
    'the seal ends with its transaction',
    async ({ enter, ok, same }) => {
      await enter('A_owner');
      await ok('commit');
      await ok('begin');
      const [left] = await ok(
        `select coalesce(current_setting('backtrace_functions', true), '') || coalesce(current_setting('rowhouse.token', true), '') as seal`,
      );
      same(left, { seal: '' }, 'after the commit there is a seal');
    },
    { ...entering, commits: true },
  ),
  rule(
    'without a seal there is an error, not an empty list',
    async ({ ok, refused, same }) => {
      await ok('set local role tenant_user');
      await refused('tenant_required', 'select request.tenant_id()');
      await refused('tenant_required', 'select from v1.files');
      same(await ok(`select request.has_tenant_role('viewer') as viewer`), [{ viewer: false }], 'nobody is a viewer');
    },
    sealed,
  ),
  rule(
    'an operator is in no tenant',
    async ({ enter, ok, refused, same }) => {
      await enter('operator', 'operator');
      same(await ok('select request.role() as role'), [{ role: 'operator' }], 'the sealed role');
      await refused('tenant_required', 'select request.tenant_id()');
    },
    sealed,
  ),
  rule(
    'a token that was not entered seals nothing',
    async ({ ok, refused, facts }) => {
      await ok(`select set_config('rowhouse.token', $1, true)`, [facts.world.tokens.get('A_owner')]);
      await ok(SAY, [headers({ authorization: `Bearer ${facts.world.tokens.get('A_owner')}` })]);
      await ok('set local role tenant_user');
      await refused('tenant_required', 'select request.tenant_id()');
    },
    { ...sealed, needsProtection: true },
  ),
  ...(
    [
      ['an owner as viewer', 'viewer'],
      ['A_downgraded', 'viewer'],
      ['A_member', 'member'],
      ['A_owner', 'owner'],
    ] as const
  ).map(([token, role]) =>
    rule(
      `${token} is sealed as ${role}`,
      async ({ enter, ok, same, facts }) => {
        await enter(token, 'tenant_user');
        const [seal] = await ok('select request.tenant_id() as tenant, request.tenant_role() as role');
        same(seal, { tenant: facts.world.tenants.A, role }, 'the seal');
      },
      entering,
    ),
  ),
];
