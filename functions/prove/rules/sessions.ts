import type { Acting, Rule } from './types.ts';

/** About tokens of others and what they are exchanged for. */
export const rule = (
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

const EXCHANGE = 'auth.exchange_external(text,text,text,interval,interval)';
export const [ISSUER, OTHER] = ['https://one.prove.invalid', 'https://two.prove.invalid'];
export const WHO = 'prove-one:ada';
const addIssuer = `insert into auth.issuers (issuer, subject_prefix, audiences) values ($1, $2, '{prove}')`;
export const addMember = `insert into tenancy.members (tenant_id, user_id, role) values ($1, $2, 'member')`;
export const begin = 'select auth.exchange_external($1, $2, $3, $4::interval, $5::interval) as made';
export const asOwner = 'set local role rowhouse_owner';
export const asSealer = 'set local role rowhouse_sealer';

export interface Session {
  tenant_id: string;
  expires_in: number;
  refresh_token: string;
}

/** Two issuers, a subject of one that is a member of A; and the sealer's role. */
export async function prepare({ ok, facts }: Acting): Promise<void> {
  await ok(addIssuer, [ISSUER, 'prove-one:']);
  await ok(addIssuer, [OTHER, 'prove-two:']);
  await ok(addMember, [facts.world.tenants.A, WHO]);
  await ok(asSealer);
}

export async function begun({ ok }: Acting, tenant: string | null = null, ttl = '15 minutes', refreshTtl = '30 days') {
  const [row] = await ok<{ made: Session }>(begin, [ISSUER, 'ada', tenant, ttl, refreshTtl]);
  return row?.made as Session;
}

/** Somebody else's token, and the sessions that begin with it. */
export const sessionRules: Rule[] = [
  rule('auth.issuers', 'an issuer is there once', async (acting) => {
    await acting.ok(addIssuer, [ISSUER, 'prove-one:']);
    await acting.refused('23505 issuers_pkey', addIssuer, [ISSUER, 'prove-two:']);
  }),
  rule(EXCHANGE, 'a session has a token for an hour at most, and lasts for 90 days at most', async (acting) => {
    const { ok, same } = acting;
    await prepare(acting);
    const lasts = async ({ refresh_token }: Session) =>
      ok(
        `select extract(day from expires_at - now())::int as days from auth.refresh_tokens where hash = sha256(convert_to($1, 'UTF8'))`,
        [refresh_token],
      );
    const usual = await begun(acting);
    same([usual.tenant_id, usual.expires_in], [acting.facts.world.tenants.A, 900], 'the session');
    same(await lasts(usual), [{ days: 30 }], 'how long it lasts');
    const long = await begun(acting, null, '2 hours', '91 days');
    same(long.expires_in, 3600, 'the longest life of a token');
    same(await lasts(long), [{ days: 90 }], 'the longest session');
  }),
  rule(EXCHANGE, 'an issuer that is unknown or disabled vouches for nobody', async (acting) => {
    const told = 'token_invalid: its issuer is not trusted here';
    await prepare(acting);
    await acting.aside(async () => void (await begun(acting)));
    await acting.refused(told, begin, ['https://nobody.prove.invalid', 'ada', null, '1 minute', '1 day']);
    await acting.ok(asOwner);
    await acting.ok('update auth.issuers set enabled = false where issuer = $1', [ISSUER]);
    await acting.ok(asSealer);
    await acting.refused(told, begin, [ISSUER, 'ada', null, '1 minute', '1 day']);
  }),
  rule(
    EXCHANGE,
    'a session is of a tenant that the subject is a member of, and names it where there are several',
    async (acting) => {
      const { A, B } = acting.facts.world.tenants;
      const ask = (tenant: string | null, who = 'ada') => [ISSUER, who, tenant, '1 minute', '1 day'];
      await prepare(acting);
      await acting.refused('membership_required', begin, ask(B));
      await acting.refused('membership_required', begin, ask(null, 'eve'));
      await acting.refused('membership_required', begin, ask(A, 'eve'));
      await acting.ok(asOwner);
      await acting.ok(addMember, [B, WHO]);
      await acting.ok(asSealer);
      await acting.refused('tenant_required: the subject is a member of several tenants', begin, ask(null));
      acting.same((await begun(acting, B)).tenant_id, B, 'the tenant that was named');
      await acting.ok(asOwner);
      await acting.ok('select tenancy.suspend_tenant($1)', [B]);
      await acting.ok(asSealer);
      await acting.refused('tenant_suspended', begin, ask(B));
      await begun(acting, A);
    },
  ),
];
