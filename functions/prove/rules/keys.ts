import type { Acting, Rule } from './types.ts';

const UNKNOWN = 'token_invalid: the key is unknown or retired';

async function rotate({ ok }: Acting): Promise<{ before: string; now: string }> {
  const [active] = await ok<{ kid: string }>(`select kid from auth.list_signing_keys() where status = 'active'`);
  const [made] = await ok<{ kid: string }>('select auth.rotate_signing_key() as kid');
  return { before: active?.kid ?? '', now: made?.kid ?? '' };
}

const retire = 'select auth.retire_signing_key($1)';
const statusOf = 'select status from auth.list_signing_keys() where kid = $1';

const rule = (
  about: string,
  title: string,
  check: Rule['check'],
  login: Rule['login'] = 'rowhouse_migrator',
): Rule => ({
  about,
  family: 'key',
  title,
  login,
  check,
});

const issue = (ttl: string, role: string) => `select auth.issue_token('t_prove', 'prove', '${role}', '${ttl}')`;

/** Rotation and retirement of keys, and who is given tokens for how long. */
export const keyRules: Rule[] = [
  rule(
    'auth.rotate_signing_key()',
    'after a rotation the new key signs, and the one before is accepted',
    async (acting) => {
      const { world } = acting.facts;
      const { before, now } = await rotate(acting);
      acting.same(await acting.ok(statusOf, [now]), [{ status: 'active' }], 'the new key');
      acting.same(await acting.ok(statusOf, [before]), [{ status: 'accepted' }], 'the key before');
      await acting.aside(() => acting.enter('A_owner'));
      const [{ token } = { token: '' }] = await acting.ok<{ token: string }>(
        `select auth.issue_token($1, $2, 'owner') as token`,
        [world.tenants.A, world.subject('A', 'owner')],
      );
      const header = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString());
      acting.same(header.kid, now, 'the key that signs');
      await acting.ok('select auth.enter($1)', [token]);
    },
  ),
  rule(
    'auth.retire_signing_key(text)',
    'a retired key opens nothing, is not given to PostgREST, and stays retired',
    async (acting) => {
      const { before } = await rotate(acting);
      await acting.aside(() => acting.enter('A_owner'));
      await acting.ok(retire, [before]);
      await acting.refused(UNKNOWN, 'select auth.enter($1)', [acting.facts.world.tokens.get('A_owner')]);
      await acting.ok('select auth.rotate_signing_key()');
      acting.same(await acting.ok(statusOf, [before]), [{ status: 'retired' }], 'the retired key');
      await acting.ok('set local role rowhouse_sealer');
      await acting.ok('select auth.pre_config()');
      const [given] = await acting.ok(`select position($1 in current_setting('pgrst.jwt_secret')) as at`, [before]);
      acting.same(given, { at: 0 }, "the retired key among PostgREST's");
    },
  ),
  rule('auth.retire_signing_key(text)', 'one key is retired, the one that is named', async (acting) => {
    const { before } = await rotate(acting);
    const { before: second } = await rotate(acting);
    await acting.ok(retire, [second]);
    acting.same(await acting.ok(statusOf, [before]), [{ status: 'accepted' }], 'the key that was not named');
  }),
  rule(
    'auth.retire_signing_key(text)',
    'neither the active key nor one that is none can be retired',
    async (acting) => {
      const { now } = await rotate(acting);
      await acting.refused('key_unknown: no accepted key has this kid', retire, [now]);
      await acting.refused('key_unknown: no accepted key has this kid', retire, ['prove']);
    },
  ),
  rule('auth.pre_config()', 'PostgREST gets an empty set where no key is left', async ({ ok, same }) => {
    await ok('set local role rowhouse_sealer');
    await ok(`update auth.signing_keys set status = 'retired', retired_at = now() where status <> 'retired'`);
    await ok('select auth.pre_config()');
    same(
      await ok(`select current_setting('pgrst.jwt_secret')::jsonb as keys`),
      [{ keys: { keys: [] } }],
      'what PostgREST gets',
    );
  }),
  {
    ...rule(
      'auth.pre_config()',
      "PostgREST's keys end with the transaction that read them",
      async ({ ok, same }) => {
        const there = `select coalesce(current_setting('pgrst.jwt_secret', true), '') <> '' as there`;
        await ok('select auth.pre_config()');
        same(await ok(there), [{ there: true }], 'whether it reads them');
        await ok('commit');
        await ok('begin');
        const left = await ok(there);
        await ok(`select set_config('pgrst.jwt_secret', '', false)`);
        same(left, [{ there: false }], 'whether they are there afterwards');
      },
      'authenticator',
    ),
    commits: true,
  },
  rule(
    'auth.issue_token(text,text,text,interval,text)',
    'a token lives for at most 31 days, and not backwards',
    async ({ ok, refused }) => {
      const told = 'token_invalid: a token lives for more than nothing and at most 31 days';
      await ok(issue('31 days', 'viewer'));
      await refused(told, issue('32 days', 'viewer'));
      await refused(told, issue('0', 'viewer'));
      await refused(told, issue('-1 hour', 'viewer'));
    },
  ),
  rule(
    'auth.issue_token(text,text,text,interval,text)',
    'a token carries a role of the tenant that there is',
    ({ refused }) =>
      refused('token_invalid: the tenant role is not viewer, member, admin or owner', issue('1 hour', 'root')),
  ),
  ...(['rowhouse_worker', 'rowhouse_edge'] as const).map((login) =>
    rule(
      'auth.issue_service_token(text,text,interval)',
      `${login} signs for itself alone, and for an hour`,
      async ({ ok, refused, same, facts }) => {
        const { A } = facts.world.tenants;
        const make = 'select auth.issue_service_token($1, $2, $3::interval) as token';
        await refused('token_invalid: a service token lives for at most an hour', make, [A, 'prove', '61 minutes']);
        const [made] = await ok<{ token: string }>(make, [A, 'prove', '1 hour']);
        const claims = JSON.parse(Buffer.from(made?.token.split('.')[1] ?? '', 'base64url').toString());
        same([claims.role, claims.tenant_role, claims.tenant_id], [login, 'service', A], 'whom it speaks for');
      },
      login,
    ),
  ),
];
