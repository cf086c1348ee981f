import type { Letter } from '../world.ts';
import type { Acting, Rule } from './types.ts';

/** About API keys. */
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

const EXCHANGE = 'auth.exchange_api_key(text,inet,text[],interval)';
const exchange = 'select auth.exchange_api_key($1, $2::inet, $3::text[], $4::interval) as made';
const HOME = '10.1.2.3';
const ALL = ['read', 'write', 'admin'];
export const [ONE, TWO] = ['0123456789abcdef', 'fedcba9876543210'];

export interface Planted {
  letter?: Letter;
  scopes?: string[];
  role?: string;
  networks?: string[];
  /** From now on. */
  ends?: string;
  revoked?: boolean;
  /** Under which tenant or id it calls itself; its own where it is not given. */
  says?: { letter?: Letter; id?: string };
}

export const tenantOf = ({ facts }: Acting, letter: Letter = 'A') => facts.world.tenants[letter];

/** A key whose secret is known, as the sealer keeps it; and the sealer's role. */
export async function plant(acting: Acting, id: string, key: Planted = {}): Promise<string> {
  const { letter, scopes = ALL, role = 'admin', networks = null, ends = null, revoked = false, says = {} } = key;
  const tenant = tenantOf(acting, letter);
  const text = `rh_live_${tenantOf(acting, says.letter ?? letter).slice(2)}_${says.id ?? id}_${'0'.repeat(64)}`;
  await acting.ok('set local role rowhouse_sealer');
  await acting.ok(
    `insert into auth.api_keys (tenant_id, id, name, scopes, tenant_role, allowed_networks, expires_at, revoked_at, created_by)
     values ($1, $2, 'prove', $3, $4, $5::cidr[], now() + $6::interval, case when $7 then now() end, 'prove')`,
    [tenant, id, scopes, role, networks, ends, revoked],
  );
  await acting.ok(
    `insert into auth.api_key_hashes (tenant_id, key_id, hash) values ($1, $2, sha256(convert_to($3, 'UTF8')))`,
    [tenant, id, text],
  );
  return text;
}

interface Made {
  token: string;
  scope: string;
  expires_in: number;
}

export async function exchanged(acting: Acting, key: string, scopes: string[] | null = null, ttl = '15 minutes') {
  const [row] = await acting.ok<{ made: Made }>(exchange, [key, HOME, scopes, ttl]);
  return row?.made as Made;
}

/** What API keys are exchanged for. */
export const apiKeyRules: Rule[] = [
  rule(
    EXCHANGE,
    'a key gives a token of its scopes, for an hour at most, and none outlives the key',
    async (acting) => {
      const { same } = acting;
      const key = await plant(acting, ONE);
      const made = await exchanged(acting, key);
      same([made.scope, made.expires_in], ['admin read write', 900], 'what a key gives');
      same((await exchanged(acting, key, ['write'])).scope, 'read write', 'what was asked for');
      same((await exchanged(acting, key, null, '2 hours')).expires_in, 3600, 'the longest life');
      same((await exchanged(acting, await plant(acting, TWO, { ends: '1 minute' }))).expires_in, 60, 'until its end');
      await acting.ok('select auth.enter($1)', [made.token]);
      same(await acting.ok('select request.subject() as who'), [{ who: `key:${ONE}` }], 'whom it speaks for');
    },
  ),
  rule(EXCHANGE, 'a key that has no scope write writes nothing', async (acting) => {
    const { token } = await exchanged(acting, await plant(acting, ONE));
    const retold = `update auth.api_key_uses set last_used_at = now() where key_id = $1`;
    await acting.aside(async () => {
      await acting.ok('select auth.enter($1)', [token]);
      await acting.ok(retold, [ONE]);
    });
    const reading = await exchanged(acting, await plant(acting, TWO, { scopes: ['read'] }));
    await acting.ok('select auth.enter($1)', [reading.token]);
    await acting.refused('25006', retold, [ONE]);
  }),
  ...(
    [
      ['is ended', 'api_key_invalid: the API key is revoked', { revoked: true }, HOME],
      ['has expired', 'api_key_invalid: the API key has expired', { ends: '0' }, HOME],
      ['is for other networks', 'address_refused', { networks: ['192.0.2.0/24'] }, HOME],
      ['is for some networks, from nowhere', 'address_refused', { networks: ['192.0.2.0/24'] }, null],
      ['names another id', 'api_key_invalid: null', { says: { id: TWO } }, HOME],
      ['names another tenant', 'api_key_invalid: null', { says: { letter: 'B' } }, HOME],
      ['has fewer scopes', 'scope_insufficient', { scopes: ['read', 'write'] }, HOME],
    ] as [string, string, Planted, string | null][]
  ).map(([what, told, key, address]) =>
    rule(EXCHANGE, `a key that ${what} is refused`, async (acting) => {
      await acting.aside(
        async () => void (await exchanged(acting, await plant(acting, ONE, { networks: ['10.0.0.0/8'] }), ALL)),
      );
      await acting.refused(told, exchange, [await plant(acting, ONE, key), address, ALL, '1 minute']);
    }),
  ),
  rule(EXCHANGE, 'a key is refused where its secret is wrong, or its tenant suspended', async (acting) => {
    const key = await plant(acting, ONE);
    await acting.aside(async () => void (await exchanged(acting, key)));
    await acting.refused('api_key_invalid: null', exchange, [key.replace(/0$/, '1'), HOME, null, '1 minute']);
    await acting.ok('set local role rowhouse_owner');
    await acting.ok('select tenancy.suspend_tenant($1)', [tenantOf(acting)]);
    await acting.ok('set local role rowhouse_sealer');
    await acting.refused('tenant_suspended', exchange, [key, HOME, null, '1 minute']);
  }),
];
