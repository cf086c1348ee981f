import { createHmac } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let acme: string;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  acme = await stack.token({ tenant: 't_acme', user: 'owner', role: 'owner' });
});

afterAll(() => stack?.stop());

const ask = async (token: string | undefined, headers: Record<string, string> = {}) => {
  const response = await http(`${stack.postgrest}/tenant?select=id`, {
    headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
  });
  return [response.status, (response.body as { code?: string }).code ?? response.body];
};
const admitted = [200, [{ id: 't_acme' }]];

type Parts = { header: Record<string, unknown>; payload: Record<string, unknown> };

const parts = (token: string): Parts => {
  const [header, payload] = token.split('.').map((part) => Buffer.from(part, 'base64url').toString());
  return { header: JSON.parse(header as string), payload: JSON.parse(payload as string) };
};

/** The best forger there is: one that knows the real key. Only the claims that it changes are wrong. */
async function forge(change: (parts: Parts) => void, secret?: Buffer): Promise<string> {
  const { header, payload } = parts(acme);
  change({ header, payload });
  const { rows } = await stack.admin.query('select secret, api_secret from auth.signing_keys where kid = $1', [
    parts(acme).header.kid,
  ]);
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const sign = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest('base64url');
  const body = encode(payload);
  const head = encode({ ...header, seal: sign(secret ?? rows[0].secret, body) });
  return `${head}.${body}.${sign(rows[0].api_secret, `${head}.${body}`)}`;
}

describe('the gate admits', () => {
  test('a token of the database, and one made the same way by hand', async () => {
    expect(await ask(acme)).toEqual(admitted);
    expect(await ask(await forge(() => {}))).toEqual(admitted);
  });

  test('a lower-case bearer scheme', async () => {
    expect(await ask(undefined, { authorization: `bearer ${acme}` })).toEqual(admitted);
  });
});

const now = () => Math.floor(Date.now() / 1000);

describe('the gate refuses', () => {
  const refusals: [name: string, change: (parts: Parts) => void, expected: unknown[]][] = [
    [
      'an expired token',
      ({ payload }) => {
        payload.exp = now() - 60;
      },
      [401, 'token_expired'],
    ],
    [
      'a token without an end',
      ({ payload }) => {
        delete payload.exp;
      },
      [401, 'token_invalid'],
    ],
    [
      'a token not valid yet',
      ({ payload }) => {
        payload.nbf = now() + 3600;
      },
      [401, 'token_invalid'],
    ],
    [
      'a token issued in the future',
      ({ payload }) => {
        payload.iat = now() + 3600;
      },
      [401, 'token_invalid'],
    ],
    [
      'a token without an audience',
      ({ payload }) => {
        delete payload.aud;
      },
      [401, 'token_invalid'],
    ],
    [
      'a token of another audience',
      ({ payload }) => {
        payload.aud = 'other';
      },
      [401, 'token_invalid'],
    ],
    [
      'a token without an issuer',
      ({ payload }) => {
        delete payload.iss;
      },
      [401, 'token_invalid'],
    ],
    [
      'a token of another issuer',
      ({ payload }) => {
        payload.iss = 'other';
      },
      [401, 'token_invalid'],
    ],
    [
      'a token without a subject',
      ({ payload }) => {
        delete payload.sub;
      },
      [401, 'token_invalid'],
    ],
    [
      'a token of an unknown key',
      ({ header }) => {
        header.kid = 'other';
      },
      [401, 'token_invalid'],
    ],
    [
      'a token without a key id',
      ({ header }) => {
        delete header.kid;
      },
      [401, 'token_invalid'],
    ],
    [
      'algorithm none',
      ({ header }) => {
        header.alg = 'none';
      },
      [401, 'token_invalid'],
    ],
    [
      'another algorithm',
      ({ header }) => {
        header.alg = 'HS512';
      },
      [401, 'token_invalid'],
    ],
    [
      'a tenant that does not exist',
      ({ payload }) => {
        payload.tenant_id = 't_nobody';
      },
      [404, 'tenant_unknown'],
    ],
    [
      'a tenant that the subject is not a member of',
      ({ payload }) => {
        payload.sub = 'stranger';
      },
      [403, 'membership_required'],
    ],
    [
      'an operator who is none',
      ({ payload }) => {
        payload.role = 'operator';
        delete payload.tenant_id;
      },
      [403, 'membership_required'],
    ],
  ];
  for (const [name, change, expected] of refusals) {
    test(`${name}, though signed with the real key`, async () => {
      const forged = await forge(change);
      const [status, code] = await ask(forged);
      // PostgREST refuses some of them before the database is asked, with a code of its own.
      expect([status, String(code).replace(/^PGRST30[0-9]$/, String(expected[1]))]).toEqual(expected);
      await expect(stack.migrator.query('select auth.enter($1)', [forged])).rejects.toThrow(
        `"code" : "${expected[1]}"`,
      );
    });
  }

  test('a payload that was changed after it was signed', async () => {
    const [header, , signature] = acme.split('.');
    const payload = Buffer.from(JSON.stringify({ ...parts(acme).payload, tenant_id: 't_globex' })).toString(
      'base64url',
    );
    expect((await ask(`${header}.${payload}.${signature}`))[0]).toBe(401);
    await expect(stack.migrator.query('select auth.enter($1)', [`${header}.${payload}.${signature}`])).rejects.toThrow(
      'token_invalid',
    );
  });

  test('a seal made with another key', async () => {
    expect(await ask(await forge(() => {}, Buffer.alloc(32, 7)))).toEqual([401, 'token_invalid']);
  });

  test.each(['', 'x', 'a.b.c', '..', `${'a'.repeat(5000)}.b.c`, "a.b.c' or true --", 'ä.ö.ü'])(
    'the malformed token %j',
    async (token) => {
      await expect(stack.migrator.query('select auth.enter($1)', [token])).rejects.toThrow('"code" : "token_invalid"');
    },
  );

  test('a request without a token', async () => {
    expect(await ask(undefined)).toEqual([401, 'token_required']);
    expect(await ask(undefined, { authorization: 'Basic YTpi' })).toEqual([401, 'token_required']);
  });

  test('a tenant header that disagrees with the token, and admits one that agrees', async () => {
    expect(await ask(acme, { 'x-tenant-id': 't_acme' })).toEqual(admitted);
    expect(await ask(acme, { 'x-tenant-id': 't_globex' })).toEqual([403, 'tenant_mismatch']);
  });

  test('to serve another tenant to a second Authorization header, whichever comes first', async () => {
    const globex = await forge(
      ({ payload }) => {
        payload.tenant_id = 't_globex';
      },
      Buffer.alloc(32, 7),
    );
    for (const [first, second] of [
      [acme, globex],
      [globex, acme],
    ] as const) {
      const answer = await raw(`Authorization: Bearer ${first}\r\nAuthorization: Bearer ${second}\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 (200|401) /);
      expect(answer).not.toContain('t_globex');
    }
  });
});

describe('a NUL in a header', () => {
  const body = JSON.stringify({ name: 'a.csv', content_type: 'text/csv', size: 1 });
  const write = (headers: string) =>
    raw(
      `Authorization: Bearer ${acme}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n${headers}`,
      'POST /files',
      body,
    );

  test.each(['Idempotency-Key', 'User-Agent', 'X-Request-Id', 'X-Tenant-Id', 'X-Anything'])(
    'is refused: %s',
    async (name) => {
      for (const answer of [
        await write(`${name}: a\0b\r\n`),
        await raw(`Authorization: Bearer ${acme}\r\n${name}: \0\r\n`),
        await raw(`${name}: a\0b\r\n`),
      ]) {
        expect(answer).toMatch(/^HTTP\/1\.1 400 /);
        expect(answer).toContain(
          '"code":"request_invalid","details":"a header has a NUL in it","hint":null,"message":"The request is not valid"',
        );
      }
    },
  );

  test('is not what a backslash spells', async () => {
    const key = `key-${Date.now()}`;
    for (const spelled of ['\\u0000', '\\\\u0000', 'a\\\\\\u0000"\\u0000']) {
      const answer = await write(`User-Agent: ${spelled}\r\nIdempotency-Key: ${key}-${spelled.length}\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 201 /);
      const { rows } = await stack.admin.query('select user_agent from ledger.entries order by position desc limit 1');
      expect(rows).toEqual([{ user_agent: spelled }]);
    }
  });
});

/** Headers as they are: fetch would join two of one name, and refuse others. */
function raw(headers: string, line = 'GET /tenant?select=id', body = ''): Promise<string> {
  const { hostname, port } = new URL(stack.postgrest);
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(port), hostname, () =>
      socket.write(`${line} HTTP/1.1\r\nHost: ${hostname}\r\n${headers}Connection: close\r\n\r\n${body}`),
    );
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}

describe('a token that is still valid', () => {
  test('is refused from the next request on when its tenant is suspended, and admitted when it is resumed', async () => {
    expect(await ask(acme)).toEqual(admitted);
    await stack.migrator.query(`select tenancy.suspend_tenant('t_acme')`);
    expect(await ask(acme)).toEqual([403, 'tenant_suspended']);
    await stack.migrator.query(`select tenancy.resume_tenant('t_acme')`);
    expect(await ask(acme)).toEqual(admitted);
  });

  test('is refused from the next request on when its member is removed, and admitted when added again', async () => {
    const url = `${stack.postgrest}/members`;
    const manage = (method: string, query: string, body?: unknown) =>
      http(`${url}${query}`, {
        method,
        headers: { authorization: `Bearer ${acme}`, 'content-type': 'application/json' },
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
    expect((await manage('POST', '', { user_id: 'bob', role: 'member' })).status).toBe(201);
    const bob = await stack.token({ tenant: 't_acme', user: 'bob', role: 'member' });
    expect(await ask(bob)).toEqual(admitted);
    expect((await manage('DELETE', '?user_id=eq.bob')).status).toBe(204);
    expect(await ask(bob)).toEqual([403, 'membership_required']);
    expect((await manage('POST', '', { user_id: 'bob', role: 'member' })).status).toBe(201);
    expect(await ask(bob)).toEqual(admitted);
  });

  test('carries no more than its member’s role of this moment, and no more than it was made for', async () => {
    const whoami = async (token: string) =>
      (
        (await http(`${stack.postgrest}/rpc/whoami`, { method: 'POST', headers: { authorization: `Bearer ${token}` } }))
          .body as { tenant_role: string }
      ).tenant_role;
    await stack.migrator.query(
      `insert into tenancy.members (tenant_id, user_id, role) values ('t_acme', 'carol', 'admin')`,
    );
    const carol = await stack.token({ tenant: 't_acme', user: 'carol', role: 'admin' });
    const carolReads = await stack.token({ tenant: 't_acme', user: 'carol', role: 'viewer' });
    expect([await whoami(carol), await whoami(carolReads)]).toEqual(['admin', 'viewer']);
    await stack.migrator.query(`update tenancy.members set role = 'viewer' where user_id = 'carol'`);
    expect([await whoami(carol), await whoami(carolReads)]).toEqual(['viewer', 'viewer']);
    const inflated = await stack.token({ tenant: 't_acme', user: 'carol', role: 'owner' });
    expect(await whoami(inflated)).toBe('viewer');
  });
});

describe('key rotation', () => {
  beforeEach(async () => {
    acme = await stack.token({ tenant: 't_acme', user: 'owner', role: 'owner' });
  });

  test('keeps two keys alive, chosen by kid, until the old one is retired', async () => {
    const before = acme;
    const { rows } = await stack.migrator.query('select auth.rotate_signing_key() as kid');
    const after = await stack.token({ tenant: 't_acme', user: 'owner', role: 'owner' });
    expect(parts(after).header.kid).toBe(rows[0].kid);
    expect(parts(before).header.kid).not.toBe(rows[0].kid);
    await expect.poll(() => ask(after), { timeout: 10_000 }).toEqual(admitted);
    expect(await ask(before)).toEqual(admitted);

    await stack.migrator.query('select auth.retire_signing_key($1)', [parts(before).header.kid]);
    const [status] = await ask(before);
    expect(status).toBe(401);
    await expect(stack.migrator.query('select auth.enter($1)', [before])).rejects.toThrow('token_invalid');
    expect(await ask(after)).toEqual(admitted);
  });

  test('refuses to retire the active key or one that is unknown', async () => {
    for (const kid of [parts(acme).header.kid, 'unknown']) {
      await expect(stack.migrator.query('select auth.retire_signing_key($1)', [kid])).rejects.toThrow('key_unknown');
    }
  });
});
