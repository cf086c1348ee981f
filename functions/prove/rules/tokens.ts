import type { Pool } from '../../database.ts';
import { apiKey, signedWith } from '../forge.ts';
import { uuid } from '../random.ts';
import type { World } from '../world.ts';
import type { Rule } from './types.ts';
import { type Claims, WRONG } from './wrong-tokens.ts';

/** The id of A's API key that reads and does not write, and the name of its token. */
export const KEY_ID = 'f00d'.repeat(4);
export const KEY_THAT_READS = "A's key that reads";

/** Makes every wrong token, and those that other rules ask for. */
export async function ruleTokens(pool: Pool, world: World): Promise<Map<string, string>> {
  const now = Math.floor(Date.now() / 1000);
  const base: Claims = {
    iss: 'rowhouse',
    aud: 'rowhouse',
    sub: world.subject('A', 'owner'),
    role: 'tenant_user',
    tenant_id: world.tenants.A,
    tenant_role: 'owner',
    scope: '',
    iat: now - 5,
    exp: now + 7200,
    jti: uuid(world.seed, 'rules'),
  };
  const signed: [title: string, claims: Claims][] = [
    ['an owner as viewer', { ...base, tenant_role: 'viewer' }],
    ['a member of A in B', { ...base, tenant_id: world.tenants.B }],
    [KEY_THAT_READS, { ...base, sub: `key:${KEY_ID}`, key_id: KEY_ID, scope: 'read' }],
    ...WRONG.flatMap(({ title, claims, longSubject }): [string, Claims][] =>
      claims || longSubject ? [[title, { ...base, ...(longSubject ? { sub: 'x'.repeat(4000) } : claims) }]] : [],
    ),
  ];
  const { rows } = await pool.query<{ token: string }>(
    'select auth.sign_claims(claims) as token from jsonb_array_elements($1::jsonb) with ordinality as listed (claims, nth) order by nth',
    [JSON.stringify(signed.map(([, claims]) => claims))],
  );
  const tokens = new Map(signed.map(([title], nth) => [title, rows[nth]?.token as string]));
  const good = world.tokens.get('A_owner') as string;
  for (const { title, text } of WRONG) if (text) tokens.set(title, text(good));
  // The JWS signature is right, the seal is not: whoever has the authenticator's password can make it.
  tokens.set("PostgREST's key", signedWith(await apiKey(pool), base));
  return tokens;
}

export const tokenRules: Rule[] = [
  ...WRONG,
  { title: "PostgREST's key", told: 'token_invalid: the signature does not match' },
  { title: 'a member of A in B', told: 'membership_required' },
].map(({ title, told }) => ({
  about: 'auth.enter(text)',
  family: 'token',
  title: `a token with ${title} is refused`,
  login: 'authenticator',
  async check({ facts, ok, refused, aside, enter }) {
    await aside(() => enter('A_owner'));
    await refused(told, 'select auth.enter($1)', [facts.tokens.get(title)]);
    await ok('select 1');
  },
}));
