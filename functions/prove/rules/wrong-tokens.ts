import { createHmac } from 'node:crypto';

export type Claims = Record<string, unknown>;

/** Tokens with one thing wrong: what the gate says of each. `claims` are signed with the real key. */
export const WRONG: readonly {
  title: string;
  told: string;
  claims?: Claims;
  longSubject?: boolean;
  text?: (good: string) => string;
}[] = [
  { title: 'one word', told: 'token_invalid: not a compact JWS', text: () => 'x' },
  {
    title: 'two parts',
    told: 'token_invalid: not a compact JWS',
    text: (good) => good.slice(0, good.lastIndexOf('.')),
  },
  { title: 'four parts', told: 'token_invalid: not a compact JWS', text: (good) => `${good}.${good.split('.')[2]}` },
  { title: 'a space at its end', told: 'token_invalid: not a compact JWS', text: (good) => `${good} ` },
  { title: 'longer than 4096 characters', told: 'token_invalid: not a compact JWS', longSubject: true },
  {
    title: 'a header that is no JSON',
    told: 'token_invalid: the header is not base64url JSON',
    text: (good) => `_w.${good.split('.').slice(1).join('.')}`,
  },
  {
    title: 'the algorithm none',
    told: 'token_invalid: the algorithm is not HS256',
    text: (good) => withHeader(good, { alg: 'none' }),
  },
  {
    title: 'the algorithm RS256',
    told: 'token_invalid: the algorithm is not HS256',
    text: (good) => withHeader(good, { alg: 'RS256' }),
  },
  {
    title: 'a key that nobody knows',
    told: 'token_invalid: the key is unknown or retired',
    text: (good) => withHeader(good, { kid: 'prove' }),
  },
  {
    title: 'no key',
    told: 'token_invalid: the key is unknown or retired',
    text: (good) => withHeader(good, { kid: undefined }),
  },
  {
    title: 'a changed signature',
    told: 'token_invalid: the signature does not match',
    text: (good) => `${good.slice(0, -4)}AAAA`,
  },
  {
    title: 'claims changed after signing',
    told: 'token_invalid: the signature does not match',
    text: (good) => withClaims(good),
  },
  { title: 'an end that is past', told: 'token_expired', claims: { exp: 1_600_000_000, iat: 1_500_000_000 } },
  { title: 'no end', told: 'token_invalid: the token never expires', claims: { exp: undefined } },
  {
    title: 'issued tomorrow',
    told: 'token_invalid: the token is not valid yet',
    claims: { iat: Math.floor(Date.now() / 1000) + 86_400 },
  },
  {
    title: 'not before tomorrow',
    told: 'token_invalid: the token is not valid yet',
    claims: { nbf: Math.floor(Date.now() / 1000) + 86_400 },
  },
  { title: 'another issuer', told: 'token_invalid: the issuer is not rowhouse', claims: { iss: 'other' } },
  { title: 'no issuer', told: 'token_invalid: the issuer is not rowhouse', claims: { iss: undefined } },
  { title: 'another audience', told: 'token_invalid: the audience is not rowhouse', claims: { aud: 'other' } },
  { title: 'no audience', told: 'token_invalid: the audience is not rowhouse', claims: { aud: undefined } },
  { title: 'no subject', told: 'token_invalid: sub or jti is missing', claims: { sub: undefined } },
  { title: 'no token id', told: 'token_invalid: sub or jti is missing', claims: { jti: undefined } },
  { title: 'an empty token id', told: 'token_invalid: sub or jti is missing', claims: { jti: '' } },
  {
    title: 'an operator with a tenant',
    told: 'token_invalid: an operator has no tenant',
    claims: { role: 'operator' },
  },
  {
    title: 'an operator who is none',
    told: 'membership_required: the subject is not an operator',
    claims: { role: 'operator', tenant_id: undefined },
  },
  { title: 'a role of the schema', told: 'token_invalid: the role is unknown', claims: { role: 'rowhouse_owner' } },
  { title: 'no role', told: 'token_invalid: the role is unknown', claims: { role: undefined } },
  { title: 'a tenant that is none', told: 'tenant_unknown', claims: { tenant_id: 't_prove_nobody' } },
  {
    title: 'a worker of a tenant that is none',
    told: 'tenant_unknown',
    claims: { role: 'rowhouse_worker', tenant_id: 't_prove_nobody' },
  },
  { title: 'a tenant role that is none', told: 'membership_required', claims: { tenant_role: 'root' } },
  { title: 'somebody who is no member', told: 'membership_required', claims: { sub: 'prove_nobody' } },
];

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part: string | undefined) => JSON.parse(Buffer.from(part ?? '', 'base64url').toString()) as Claims;

function withHeader(token: string, change: Claims): string {
  const [header, payload] = token.split('.');
  const changed = `${encode({ ...decode(header), ...change })}.${payload}`;
  return `${changed}.${createHmac('sha256', 'prove').update(changed).digest('base64url')}`;
}

function withClaims(token: string): string {
  const [header, payload, signature] = token.split('.');
  return [header, encode({ ...decode(payload), tenant_role: 'owner' }), signature].join('.');
}
