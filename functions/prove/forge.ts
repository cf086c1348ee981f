import { createHmac } from 'node:crypto';
import { type Pool, transaction } from '../database.ts';
import { uuid } from './random.ts';
import { TENANT_ROLES } from './types.ts';
import { suspendedMember, suspendedTenant, type World } from './world.ts';

type Claims = Record<string, unknown>;

/** Tokens that must open nothing; each would open tenant B, or every tenant, if only one thing were not looked at. */
export interface Forgery {
  token: string;
  role: string;
  title: string;
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const parse = (part: string | undefined) => JSON.parse(Buffer.from(part ?? '', 'base64url').toString()) as Claims;

/** What anybody can make who has a token of A. */
function counterfeits(token: string, claims: Claims): [title: string, token: string][] {
  const [header, , signature] = token.split('.');
  const payload = encode(claims);
  const unsigned = encode({ alg: 'none', typ: 'JWT' });
  const own = encode({ ...parse(header) });
  const signed = (head: string) => createHmac('sha256', 'rowhouse').update(`${head}.${payload}`).digest('base64url');
  return [
    ['claims changed after signing', `${header}.${payload}.${signature}`],
    ['algorithm none', `${unsigned}.${payload}.`],
    ['signed with another key', `${own}.${payload}.${signed(own)}`],
    [
      'an unknown key',
      `${encode({ alg: 'HS256', typ: 'JWT', kid: 'prove' })}.${payload}.${signed(encode({ alg: 'HS256', typ: 'JWT', kid: 'prove' }))}`,
    ],
  ];
}

export interface ApiKey {
  kid: string;
  k: string;
}

/** What PostgREST is given to check tokens with, and so whoever holds its password. */
export async function apiKey(pool: Pool): Promise<ApiKey> {
  return transaction(pool, async (client) => {
    await client.query('set local role rowhouse_sealer');
    await client.query('select auth.pre_config()');
    const { rows } = await client.query<{ keys: ApiKey[] }>(
      `select current_setting('pgrst.jwt_secret')::jsonb -> 'keys' as keys`,
    );
    return rows[0]?.keys[0] as ApiKey;
  });
}

export function signedWith({ kid, k }: ApiKey, claims: Claims): string {
  const sign = (text: string) => createHmac('sha256', Buffer.from(k, 'base64url')).update(text).digest('base64url');
  const payload = encode(claims);
  const header = encode({ alg: 'HS256', typ: 'JWT', kid, seal: sign(payload) });
  return `${header}.${payload}.${sign(`${header}.${payload}`)}`;
}

/**
 * Forges for each role, with and without the signing key, and puts the tokens into the world.
 * @param pool of a login that may call auth.sign_claims: the best forger there is
 */
export async function forge(pool: Pool, world: World): Promise<Forgery[]> {
  const { tenants, tokens } = world;
  const now = Math.floor(Date.now() / 1000);
  const base = (role: string): Claims => ({
    iss: 'rowhouse',
    aud: 'rowhouse',
    sub: world.subject('B', role),
    role: 'tenant_user',
    tenant_id: tenants.B,
    tenant_role: role,
    scope: '',
    iat: now - 5,
    exp: now + 7200,
    jti: uuid(world.seed, 'jti', role),
  });
  const forgeries: Forgery[] = [];
  const signing: { claims: Claims; forgery: Omit<Forgery, 'token'> }[] = [];
  const add = (role: string, title: string, token: string) => {
    const name = `forged_${title.replaceAll(/\W+/g, '_')}_${role}`;
    tokens.set(name, token);
    forgeries.push({ token: name, role, title });
  };
  const key = await apiKey(pool);
  for (const role of TENANT_ROLES) {
    const claims = base(role);
    for (const [title, token] of counterfeits(tokens.get(`A_${role}`) as string, claims)) add(role, title, token);
    add(role, "signed with PostgREST's key", signedWith(key, claims));
    const signed: [title: string, change: Claims][] = [
      ["A's member in B", { sub: world.subject('A', role) }],
      ['somebody who was removed', { sub: `${world.run}_removed` }],
      ['expired', { iat: now - 7200, exp: now - 60 }],
      ['not valid yet', { nbf: now + 3600 }],
      ['without an end', { exp: undefined }],
      ['for another audience', { aud: 'other' }],
      ['of another issuer', { iss: 'other' }],
      ['an operator with a tenant', { role: 'operator' }],
      ['a worker', { role: 'rowhouse_worker', tenant_role: 'service' }],
      ['the owner of the schema', { role: 'rowhouse_owner' }],
      ['without a tenant', { tenant_id: undefined }],
      ['an unknown tenant role', { tenant_role: 'root' }],
      ['without an audience', { aud: undefined }],
      ['of a suspended tenant', { tenant_id: suspendedTenant(world), sub: suspendedMember(world, role) }],
    ];
    for (const [title, change] of signed) signing.push({ claims: { ...claims, ...change }, forgery: { role, title } });
  }
  const operator = { ...base('owner'), role: 'operator', tenant_id: undefined, tenant_role: undefined };
  for (const [title, token] of counterfeits(tokens.get('A_owner') as string, {
    ...operator,
    sub: `${world.run}_operator`,
  }))
    add('operator', title, token);
  signing.push({
    claims: { ...operator, sub: `${world.run}_nobody` },
    forgery: { role: 'operator', title: 'an operator who is none' },
  });
  signing.push({
    claims: { ...operator, sub: `${world.run}_operator`, tenant_id: tenants.B },
    forgery: { role: 'operator', title: 'an operator with a tenant' },
  });
  for (const [title, token] of [
    ['no JWS', 'x'],
    ['an empty JWS', '..'],
    ['three words', 'a.b.c'],
    ['an injection', "a.b.c'--"],
  ] as const)
    add('none', title, token);

  const { rows } = await pool.query<{ token: string }>(
    `select auth.sign_claims(claims) as token from jsonb_array_elements($1::jsonb) with ordinality as listed (claims, nth) order by nth`,
    [JSON.stringify(signing.map(({ claims }) => claims))],
  );
  for (const [nth, { forgery }] of signing.entries()) add(forgery.role, forgery.title, rows[nth]?.token as string);
  return forgeries;
}
