import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { explainRequest } from '../../functions/explain/explain.ts';
import { parseRequest } from '../../functions/explain/request.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
});

afterAll(() => stack?.stop());

const explain = (token: string) => explainRequest(stack.database.authenticator, token, parseRequest('GET', '/v1/jobs'));

/** A token with both signatures right, and these claims. */
async function signed(claims: Record<string, unknown>): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const usual = { iss: 'rowhouse', aud: 'rowhouse', sub: 'owner', jti: 'j', role: 'tenant_user', tenant_role: 'owner' };
  const whole = { ...usual, tenant_id: 't_acme', iat: now - 600, exp: now + 600, ...claims };
  const { rows } = await stack.migrator.query('select auth.sign_claims($1::jsonb) as token', [JSON.stringify(whole)]);
  return rows[0].token;
}

const now = () => Math.floor(Date.now() / 1000);
const CHECKS = ['form', 'key', 'signature', 'time', 'issuer', 'audience', 'claims', 'tenant', 'membership'];

test('passes every check for a good token', async () => {
  const { gate, allowed, claims_verified } = await explain(await signed({}));
  expect(gate.map(({ check, passed }) => [check, passed])).toEqual(CHECKS.map((check) => [check, true]));
  expect([allowed, claims_verified]).toEqual([true, true]);
});

const NEW = 'get a new token';
const cases: [string, string, () => Promise<string>, string, string][] = [
  [
    'no token at all',
    'form',
    async () => 'nonsense',
    'not a compact JWS',
    'copy the whole token, three parts with dots between',
  ],
  [
    'a header that is not JSON',
    'form',
    async () => 'x.y.z',
    'the header is not base64url JSON',
    'copy the whole token, three parts with dots between',
  ],
  [
    'another algorithm',
    'form',
    async () => `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.x`,
    'the algorithm is not HS256',
    'copy the whole token, three parts with dots between',
  ],
  [
    'an unknown key',
    'key',
    async () => `${Buffer.from('{"alg":"HS256","kid":"k"}').toString('base64url')}.e30.x`,
    'its key is unknown or retired',
    NEW,
  ],
  [
    'a changed payload',
    'signature',
    async () => {
      const [header, payload, signature] = (await signed({})).split('.');
      const claims = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString());
      const changed = Buffer.from(JSON.stringify({ ...claims, tenant_id: 't_globex' })).toString('base64url');
      return `${header}.${changed}.${signature}`;
    },
    'it was changed, or made by somebody else',
    NEW,
  ],
  [
    'a token forged with the key that PostgREST has',
    'signature',
    async () => {
      const { rows } = await stack.admin.query('select api_secret, kid from auth.signing_keys where status = $1', [
        'active',
      ]);
      const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const head = `${part({ alg: 'HS256', kid: rows[0].kid, seal: 'x' })}.${part({ sub: 'owner', exp: now() + 60 })}`;
      return `${head}.${createHmac('sha256', rows[0].api_secret).update(head).digest('base64url')}`;
    },
    'it was changed, or made by somebody else',
    NEW,
  ],
  ['an expired token', 'time', () => signed({ exp: now() - 200 }), 'the token expired 3 minutes ago', NEW],
  ['a token that expired long ago', 'time', () => signed({ exp: now() - 90_000 }), 'the token expired 1 day ago', NEW],
  ['a token that never expires', 'time', () => signed({ exp: null }), 'the token never expires', NEW],
  [
    'a token of tomorrow',
    'time',
    () => signed({ iat: now() + 3600, exp: now() + 7200 }),
    'the token is not valid yet',
    NEW,
  ],
  ['another issuer', 'issuer', () => signed({ iss: 'other' }), 'issued by another than rowhouse', NEW],
  ['another audience', 'audience', () => signed({ aud: 'other' }), 'meant for another audience than rowhouse', NEW],
  ['no subject', 'claims', () => signed({ sub: '' }), 'sub or jti is missing', NEW],
  ['an unknown role', 'claims', () => signed({ role: 'postgres' }), 'the role is unknown', NEW],
  ['an operator with a tenant', 'claims', () => signed({ role: 'operator' }), 'an operator has no tenant', NEW],
  [
    'an unknown tenant',
    'tenant',
    () => signed({ tenant_id: 't_none' }),
    'the tenant t_none does not exist or is suspended',
    'ask the operator (rowhouse tenant list)',
  ],
  [
    'a suspended tenant',
    'tenant',
    async () => {
      await stack.migrator.query(`select tenancy.suspend_tenant('t_globex')`);
      return signed({ tenant_id: 't_globex' });
    },
    'the tenant t_globex does not exist or is suspended',
    'ask the operator (rowhouse tenant list)',
  ],
  [
    'a stranger',
    'membership',
    () => signed({ sub: 'st\u001b[31mranger' }),
    'st\uFFFD[31mranger is not a member of t_acme',
    'ask an admin of the tenant to add them',
  ],
  [
    'somebody who is no operator',
    'membership',
    () => signed({ role: 'operator', tenant_id: null, sub: 'eve' }),
    'eve is not an operator',
    'a row of auth.operators makes one',
  ],
];

test.each(cases)('stops %s at the check of its %s', async (_name, check, make, summary, next) => {
  const explained = await explain(await make());
  const failed = CHECKS.indexOf(check);
  expect(explained.gate.map(({ passed }) => passed)).toEqual(
    CHECKS.map((_, index) => (index < failed ? true : index === failed ? false : null)),
  );
  expect([explained.allowed, explained.summary, explained.next]).toEqual([false, `${check}: ${summary}`, next]);
  expect(explained.claims_verified).toBe(failed > CHECKS.indexOf('signature'));
  expect([explained.context, explained.grants, explained.row, explained.policies]).toEqual([null, [], null, []]);
});

test("says that a service's token is not for the API", async () => {
  const token = await signed({ role: 'rowhouse_worker', tenant_role: 'service' });
  expect(await explain(token)).toMatchObject({
    allowed: false,
    summary: "the role rowhouse_worker is a service's: the HTTP API refuses its tokens",
  });
});

test('shows claims and never a signature', async () => {
  const token = await signed({});
  const explained = await explain(token);
  expect(explained.claims).toMatchObject({ sub: 'owner', tenant_id: 't_acme', tenant_role: 'owner' });
  const [header = '', , signature = ''] = token.split('.');
  const { seal } = JSON.parse(Buffer.from(header, 'base64url').toString());
  for (const secret of [signature, seal, token]) expect(JSON.stringify(explained)).not.toContain(secret);
});

test('refuses a login that cannot see what the token sees', async () => {
  const token = await signed({});
  for (const url of [stack.database.migrator, stack.database.worker]) {
    await expect(explainRequest(url, token, parseRequest('GET', '/v1/jobs'))).rejects.toMatchObject({
      code: 'permission_denied',
      hint: 'Connect as authenticator: --database postgres://authenticator:…@host/database',
    });
  }
});
