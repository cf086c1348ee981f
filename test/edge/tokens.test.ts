import { createHmac } from 'node:crypto';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPool } from '../../functions/database.ts';
import { until } from '../../functions/stack/until.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type Algorithm, startIssuer, type TestIssuer } from './issuer.ts';

interface Answer {
  access_token: string;
  refresh_token: string;
  error?: string;
  code?: string;
}

const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

let stack: TestStack;
let okta: TestIssuer;
let google: TestIssuer;

beforeAll(async () => {
  stack = await createTestStack({
    edge: true,
    env: {
      EDGE_ALLOW_HTTP_ISSUERS: 'true',
      EDGE_JWKS_COOLDOWN_SECONDS: '0.2',
      EDGE_ADDRESS_BURST: '1000',
    },
  });
  [okta, google] = await Promise.all([startIssuer(), startIssuer()]);
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  const add = 'insert into auth.issuers (issuer, subject_prefix, audiences, jwks_uri) values ($1, $2, $3, $4)';
  await stack.migrator.query(add, [okta.url, 'okta:', ['rowhouse-app', 'other-app'], null]);
  await stack.migrator.query(add, [google.url, 'google:', ['rowhouse-app'], `${google.url}/keys`]);
  await stack.addMember('t_acme', 'okta:ada', 'admin');
  await stack.addMember('t_globex', 'google:ada', 'viewer');
  await stack.addMember('t_acme', 'okta:both', 'member');
  await stack.addMember('t_globex', 'okta:both', 'viewer');
});
afterAll(async () => {
  await Promise.all([okta?.close(), google?.close()]);
  await stack?.stop();
});

async function post<Body = Answer>(path: string, parameters: Record<string, string> | string) {
  return http<Body>(`${stack.edge}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: typeof parameters === 'string' ? parameters : new URLSearchParams(parameters).toString(),
  });
}
const exchange = (token: string, parameters: Record<string, string> = {}) =>
  post('/auth/v1/token', {
    grant_type: EXCHANGE,
    subject_token: token,
    subject_token_type: JWT,
    ...parameters,
  });
const refresh = (token: string) => post('/auth/v1/token', { grant_type: 'refresh_token', refresh_token: token });
const refused = ({ status, body }: { status: number; body: Answer }) => [status, body.error, body.code];

/** Until the issuer's newest key was fetched: a key that is not known is not asked for at once again. */
async function untilKnown(issuer: TestIssuer) {
  const known = async () => (await exchange(await issuer.sign({ sub: 'ada' }))).status === 200;
  expect(await until(known, { timeoutMs: 5000 })).toBe(true);
}

async function whoami(token: string) {
  const answers = await Promise.all(
    [`${stack.edge}/v1/rpc/whoami`, `${stack.postgrest}/rpc/whoami`].map((url) => http<Answer>(url, { token })),
  );
  const [edge, direct] = answers.map(({ status, body }) => [status, body.code ?? body]);
  expect(edge).toEqual(direct);
  return edge;
}

describe('another issuer’s token', () => {
  test.each<Algorithm>(['RS256', 'ES256', 'EdDSA'])('of %s is exchanged for one of ours', async (algorithm) => {
    await okta.rotate(algorithm);
    await untilKnown(okta);
    const answer = await exchange(await okta.sign({ sub: 'ada' }));
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.body).toEqual({
      access_token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: 900,
      tenant_id: 't_acme',
      refresh_token: expect.stringMatching(/^rh_refresh_acme_[0-9a-f]{64}$/),
    });
    const me = [200, { tenant_id: 't_acme', subject: 'okta:ada', tenant_role: 'admin' }];
    expect(await whoami(answer.body.access_token)).toEqual(me);
  });

  test('is exchanged as JSON, too', async () => {
    const subject_token = await okta.sign({ sub: 'ada' });
    const answer = await http<Answer>(`${stack.edge}/auth/v1/token`, {
      body: { grant_type: EXCHANGE, subject_token, subject_token_type: JWT },
    });
    expect([answer.status, answer.body.access_token.split('.').length]).toEqual([200, 3]);
  });

  test('stands for nobody of another issuer with the same sub', async () => {
    const { body } = await exchange(await google.sign({ sub: 'ada' }));
    const me = [200, { tenant_id: 't_globex', subject: 'google:ada', tenant_role: 'viewer' }];
    expect(await whoami(body.access_token)).toEqual(me);
    const nobodys = [400, 'invalid_target', 'membership_required'];
    expect(refused(await exchange(await google.sign({ sub: 'ada' }), { tenant_id: 't_acme' }))).toEqual(nobodys);
    expect(refused(await exchange(await google.sign({ sub: 'okta:ada' })))).toEqual(nobodys);
  });

  test('of a member of several tenants names one; others are not told apart from none', async () => {
    const token = await okta.sign({ sub: 'both' });
    const several = await exchange(token);
    expect(refused(several)).toEqual([400, 'invalid_target', 'tenant_required']);
    expect(JSON.stringify(several.body)).not.toMatch(/acme|globex/);
    for (const name of ['tenant_id', 'audience']) {
      const { body } = await exchange(token, { [name]: 't_globex' });
      expect(await whoami(body.access_token)).toMatchObject([200, { tenant_id: 't_globex', tenant_role: 'viewer' }]);
    }
    await stack.createTenant('t_initech');
    const [foreign, none] = await Promise.all(
      ['t_initech', 't_nobody'].map((tenant_id) => exchange(token, { tenant_id })),
    );
    expect(refused(foreign as never)).toEqual([400, 'invalid_target', 'membership_required']);
    expect(foreign?.body).toEqual(none?.body);
  });

  test('is refused where anything about it is wrong', async () => {
    await untilKnown(okta);
    const now = Math.floor(Date.now() / 1000);
    const payload = { iss: okta.url, aud: 'rowhouse-app', sub: 'ada', exp: now + 300 };
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const good = await okta.sign({ sub: 'ada' });
    const [header, body, signature] = good.split('.') as [string, string, string];
    const { kid } = okta.publicKey();
    // The public key as an HMAC secret: what a verifier that trusts `alg` would accept.
    const confused = `${encode({ alg: 'HS256', kid })}.${encode(payload)}`;
    const tokens: [name: string, token: string, code?: string][] = [
      ['algorithm none', `${encode({ alg: 'none', kid })}.${encode(payload)}.`],
      [
        'HS256 with the public key',
        `${confused}.${createHmac('sha256', JSON.stringify(okta.publicKey())).update(confused).digest('base64url')}`,
      ],
      ['another payload', `${header}.${encode({ ...payload, sub: 'both' })}.${signature}`],
      ['another signature', `${header}.${body}.${signature.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))}`],
      ['the other issuer’s key', await google.sign({ ...payload })],
      ['the wrong audience', await okta.sign({ sub: 'ada', aud: 'somebody-else' })],
      ['no audience', await okta.sign({ sub: 'ada', aud: undefined as never })],
      ['an issuer that nobody trusts', await okta.sign({ sub: 'ada', iss: 'https://evil.example' })],
      ['our own name', await okta.sign({ sub: 'ada', iss: 'rowhouse' })],
      ['no subject', await okta.sign({})],
      ['no end', await okta.sign({ sub: 'ada', exp: undefined as never })],
      ['a beginning that is to come', await okta.sign({ sub: 'ada', nbf: now + 60 })],
      ['an end that has passed', await okta.sign({ sub: 'ada', exp: now - 60 }), 'token_expired'],
      ['no token at all', 'nonsense'],
      ['a token of ours', await stack.token({ tenant: 't_acme', user: 'owner' })],
    ];
    for (const [name, token, code = 'token_invalid'] of tokens) {
      expect([name, ...refused(await exchange(token))]).toEqual([name, 400, 'invalid_request', code]);
    }
    expect((await exchange(good)).status).toBe(200);
  });

  test('is refused when its algorithm is not on the issuer’s list', async () => {
    const signed = await google.sign({ sub: 'ada' });
    expect((await exchange(signed)).status).toBe(200);
    const set = 'update auth.issuers set algorithms = $2 where issuer = $1';
    await stack.migrator.query(set, [google.url, ['RS256']]);
    expect(refused(await exchange(signed))).toEqual([400, 'invalid_request', 'token_invalid']);
    await stack.migrator.query(set, [google.url, ['RS256', 'ES256']]);
    expect((await exchange(signed)).status).toBe(200);
    await expect(stack.migrator.query(set, [google.url, ['HS256']])).rejects.toMatchObject({ code: '23514' });
  });

  test('of a rotated key is accepted, of the key before it no longer; keys are fetched when they have to be', async () => {
    const old = await google.sign({ sub: 'ada' });
    expect((await exchange(old)).status).toBe(200);
    const before = google.fetches();
    for (let nth = 0; nth < 5; nth++) await exchange(old);
    expect(google.fetches()).toBe(before);
    await google.rotate();
    await untilKnown(google);
    expect(google.fetches()).toBe(before + 1);
    expect(refused(await exchange(old))).toEqual([400, 'invalid_request', 'token_invalid']);
  });

  test('of an issuer that does not answer is tried again after a while, and it is asked once until then', async () => {
    const late = await startIssuer();
    try {
      await stack.migrator.query(
        `insert into auth.issuers (issuer, subject_prefix, audiences) values ($1, 'late:', '{rowhouse-app}')`,
        [late.url],
      );
      await stack.addMember('t_acme', 'late:ada', 'viewer');
      const token = await late.sign({ sub: 'ada' });
      // First its discovery document, then its keys.
      for (const [failing, asks] of [
        [true, 1],
        ['/keys', 2],
      ] as const) {
        late.fail(failing);
        const before = late.asked();
        const askedFor = async () => {
          await exchange(token);
          return late.asked() - before;
        };
        await expect.poll(askedFor, { timeout: 10_000 }).toBe(asks);
        const answers = await Promise.all(Array.from({ length: 5 }, () => exchange(token)));
        for (const answer of answers) {
          expect(refused(answer)).toEqual([503, 'temporarily_unavailable', 'issuer_unavailable']);
          expect(answer.headers.get('retry-after')).toBe('5');
        }
        expect(late.asked() - before).toBe(asks);
      }
      late.fail(false);
      await expect.poll(async () => (await exchange(token)).status, { timeout: 10_000 }).toBe(200);
      await stack.migrator.query('update auth.issuers set enabled = false where issuer = $1', [late.url]);
      expect(refused(await exchange(token))).toEqual([400, 'invalid_request', 'token_invalid']);
    } finally {
      await late.close();
    }
  });
});

describe('membership decides:', () => {
  test('a member who was removed is refused on the next request, and gets no other token', async () => {
    await stack.addMember('t_acme', 'okta:eve', 'member');
    const external = await okta.sign({ sub: 'eve' });
    const { body } = await exchange(external);
    expect((await whoami(body.access_token))?.[0]).toBe(200);
    await stack.migrator.query(`delete from tenancy.members where user_id = 'okta:eve'`);
    expect(await whoami(body.access_token)).toEqual([403, 'membership_required']);
    expect(refused(await exchange(external))).toEqual([400, 'invalid_target', 'membership_required']);
    expect(refused(await refresh(body.refresh_token))).toEqual([400, 'invalid_grant', 'refresh_token_invalid']);
  });

  test('a tenant that is suspended gives none, and gives them again when it is resumed', async () => {
    const external = await google.sign({ sub: 'ada' });
    const { body } = await exchange(external);
    await stack.migrator.query(`select tenancy.suspend_tenant('t_globex')`);
    expect(refused(await exchange(external))).toEqual([400, 'invalid_target', 'tenant_suspended']);
    expect(refused(await refresh(body.refresh_token))).toEqual([400, 'invalid_target', 'tenant_suspended']);
    await stack.migrator.query(`select tenancy.resume_tenant('t_globex')`);
    expect((await refresh(body.refresh_token)).status).toBe(200);
  });
});

describe('a refresh token', () => {
  const begin = async () => (await exchange(await okta.sign({ sub: 'ada' }))).body.refresh_token;

  test('gives a token and the next refresh token, and is stored as a hash', async () => {
    const first = await begin();
    const { status, body } = await refresh(first);
    expect([status, body.refresh_token === first]).toEqual([200, false]);
    expect((await whoami(body.access_token))?.[0]).toBe(200);
    expect((await refresh(body.refresh_token)).status).toBe(200);
    const { rows } = await stack.admin.query(
      `select count(*) from auth.refresh_tokens as t where t::text like '%' || $1 || '%'`,
      [first.split('_').at(-1)],
    );
    expect(rows).toEqual([{ count: '0' }]);
  });

  test('that comes back ends its family, and no other', async () => {
    const [first, other] = [await begin(), await begin()];
    const second = (await refresh(first)).body.refresh_token;
    const third = (await refresh(second)).body.refresh_token;
    const gone = [400, 'invalid_grant', 'refresh_token_invalid'];
    expect(refused(await refresh(first))).toEqual(gone);
    expect(refused(await refresh(third))).toEqual(gone);
    expect((await refresh(other)).status).toBe(200);
  });

  test('that comes twice at once is good for one of the two, and ends its family', async () => {
    const first = await begin();
    const answers = await Promise.all([refresh(first), refresh(first)]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 400]);
    const next = answers.find(({ status }) => status === 200)?.body.refresh_token as string;
    expect(refused(await refresh(next))).toEqual([400, 'invalid_grant', 'refresh_token_invalid']);
  });

  test('ends with its time, which using it does not make longer', async () => {
    const first = await begin();
    const second = (await refresh(first)).body.refresh_token;
    const ends =
      'select count(*), count(distinct expires_at) as ends from auth.refresh_tokens where subject = $1 group by family_id';
    const { rows } = await stack.admin.query(`${ends} order by max(created_at) desc limit 1`, ['okta:ada']);
    expect(rows).toEqual([{ count: '2', ends: '1' }]);
    await stack.admin.query('update auth.refresh_tokens set expires_at = now()');
    expect(refused(await refresh(second))).toEqual([400, 'invalid_grant', 'refresh_token_invalid']);
    await stack.admin.query('select auth.purge_refresh_tokens()');
    expect((await stack.admin.query('select count(*) from auth.refresh_tokens')).rows).toEqual([{ count: '0' }]);
  });

  test('ends when its issuer is not trusted any more', async () => {
    const first = (await exchange(await google.sign({ sub: 'ada' }))).body.refresh_token;
    await stack.migrator.query('update auth.issuers set enabled = false where issuer = $1', [google.url]);
    expect(refused(await refresh(first))).toEqual([400, 'invalid_grant', 'refresh_token_invalid']);
    await stack.migrator.query('update auth.issuers set enabled = true where issuer = $1', [google.url]);
  });

  test('can be revoked, with all of its family; what is unknown is as good as revoked', async () => {
    const [first, other] = [await begin(), await begin()];
    const second = (await refresh(first)).body.refresh_token;
    const revoke = (token: string) => post('/auth/v1/revoke', { token, token_type_hint: 'refresh_token' });
    expect((await revoke(first)).status).toBe(200);
    expect(refused(await refresh(second))).toEqual([400, 'invalid_grant', 'refresh_token_invalid']);
    expect((await revoke(second)).status).toBe(200);
    expect((await refresh(other)).status).toBe(200);
    const wrong = await revoke('eyJhbGciOiJIUzI1NiJ9.e30.AAAA');
    expect(refused(wrong)).toEqual([400, 'unsupported_token_type', 'token_type_unsupported']);
  });

  test('moved to another tenant is unknown', async () => {
    const first = await begin();
    expect((await refresh(first.replace('acme', 'globex'))).status).toBe(400);
    expect((await refresh(first)).status).toBe(200);
  });
});

describe('the token endpoint', () => {
  const requests: [name: string, body: string, error: string, code: string][] = [
    ['no grant type', 'a=b', 'invalid_request', 'request_invalid'],
    ['an empty grant type', 'grant_type=', 'invalid_request', 'request_invalid'],
    ['a grant type that it does not know', 'grant_type=password', 'unsupported_grant_type', 'grant_type_unsupported'],
    ['no subject token', `grant_type=${EXCHANGE}`, 'invalid_request', 'request_invalid'],
    [
      'a subject token of an unknown type',
      `grant_type=${EXCHANGE}&subject_token=x&subject_token_type=saml`,
      'invalid_request',
      'request_invalid',
    ],
    [
      'an actor',
      `grant_type=${EXCHANGE}&subject_token=x&subject_token_type=${JWT}&actor_token=y`,
      'invalid_request',
      'request_invalid',
    ],
    [
      'two tenants',
      `grant_type=${EXCHANGE}&subject_token=x&subject_token_type=${JWT}&tenant_id=t_a&audience=t_b`,
      'invalid_request',
      'request_invalid',
    ],
    [
      'a parameter that is repeated',
      'grant_type=refresh_token&refresh_token=a&refresh_token=b',
      'invalid_request',
      'request_invalid',
    ],
    ['a null byte', 'grant_type=refresh_token&refresh_token=%00', 'invalid_request', 'request_invalid'],
    [
      'a refresh token of another form',
      'grant_type=refresh_token&refresh_token=rh_refresh_x',
      'invalid_grant',
      'refresh_token_invalid',
    ],
  ];
  test.each(requests)('refuses %s in both error languages', async (_name, body, error, code) => {
    const answer = await post<object>('/auth/v1/token', body);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([400, 'application/json']);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.body).toEqual({
      error,
      error_description: expect.stringMatching(/./),
      type: `https://rowhouse.dev/errors/${code}`,
      title: expect.any(String),
      status: 400,
      detail: expect.any(String),
      instance: '/auth/v1/token',
      code,
      message: expect.any(String),
      details: expect.toBeOneOf([null, expect.any(String)]),
      hint: expect.toBeOneOf([null, expect.any(String)]),
    });
  });

  test('refuses bodies that are neither a form nor a JSON object', async () => {
    for (const [type, body, status] of [
      ['application/json', '[]', 400],
      ['application/json', '{', 400],
      ['application/json', '{"grant_type":["refresh_token"]}', 400],
      ['text/plain', 'x', 400],
      ['application/xml', 'x', 415],
      ['application/x-www-form-urlencoded', `grant_type=${'x'.repeat(70_000)}`, 413],
    ] as const) {
      const answer = await http<Answer>(`${stack.edge}/auth/v1/token`, {
        method: 'POST',
        headers: { 'content-type': type },
        body,
      });
      expect([type, answer.status, answer.body.error]).toEqual([type, status, 'invalid_request']);
    }
  });
});

test('one address asks for so many tokens at once, and then waits', async () => {
  // Another address of this machine: its bucket is its own.
  const agent = new Agent({ localAddress: '127.0.0.9' });
  const options = { method: 'POST', dispatcher: agent, body: 'grant_type=refresh_token&refresh_token=x' } as const;
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const ask = () => request(`${stack.edge}/auth/v1/token`, { ...options, headers });
  const neighbour = new Agent({ localAddress: '127.0.0.10' });
  try {
    let answer = await ask();
    await until(
      async () => {
        await answer.body.dump();
        answer = (await Promise.all(Array.from({ length: 50 }, ask))).at(-1) as typeof answer;
        return answer.statusCode === 429;
      },
      { timeoutMs: 20_000, intervalMs: 0 },
    );
    expect([answer.statusCode, Number(answer.headers['retry-after'])]).toEqual([429, expect.any(Number)]);
    expect(await answer.body.json()).toMatchObject({ error: 'temporarily_unavailable', code: 'rate_limited' });
    const { statusCode } = await request(`${stack.edge}/auth/v1/token`, { ...options, headers, dispatcher: neighbour });
    expect(statusCode).toBe(400);
  } finally {
    await neighbour.destroy();
    await agent.destroy();
  }
});

test('publishes no keys: nothing of ours is verified by a public one', async () => {
  const { status, headers, body } = await http(`${stack.edge}/.well-known/jwks.json`);
  expect([status, headers.get('content-type'), body]).toEqual([200, 'application/jwk-set+json', { keys: [] }]);
});

test('the edge can say that an issuer vouches for somebody under that issuer’s prefix, and nothing else', async () => {
  const edge = createPool(stack.database.edge, 'test-edge');
  const ask = (issuer: string, subject: string) =>
    edge.query('select auth.exchange_external($1, $2) as session', [issuer, subject]);
  try {
    const { rows } = await ask(okta.url, 'ada');
    expect(rows[0].session.tenant_id).toBe('t_acme');
    await expect(ask(okta.url, 'owner')).rejects.toThrow(/membership_required/);
    await expect(ask('rowhouse', 'owner')).rejects.toThrow(/token_invalid/);
    for (const text of [
      `select auth.issue_token('t_acme', 'owner', 'owner')`,
      `select auth.sign_claims('{}')`,
      `select auth.grant_session('t_acme', 'owner', 'x', '1 hour', gen_random_uuid(), now())`,
      `select auth.make_api_key('x', '{read}', 'viewer', null, null)`,
      `update auth.issuers set subject_prefix = 'x:'`,
    ]) {
      await expect(edge.query(text)).rejects.toMatchObject({ code: '42501' });
    }
    const tables = ['api_keys', 'api_key_hashes', 'api_key_uses', 'refresh_tokens'].map((name) => `auth.${name}`);
    const held = `select name from unnest($1::text[]) as name
      where has_any_column_privilege('rowhouse_edge', name, 'select, insert, update')`;
    expect((await stack.admin.query(held, [tables])).rows).toEqual([]);
  } finally {
    await edge.end();
  }
});
