import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';

/** auth.member_seal() is the short way past auth.seal_for(): it may know fewer tokens, and never more. */

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack();
  for (const id of ['t_acme', 't_globex', 't_asleep']) await stack.createTenant(id);
  await stack.admin.query(`update tenancy.tenants set status = 'suspended' where id = 't_asleep'`);
  await stack.admin.query(`insert into tenancy.members (tenant_id, user_id, role)
    values ('t_acme', 'vera', 'viewer'), ('t_acme', 'mia', 'member'), ('t_globex', 'vera', 'admin'), ('t_asleep', 'vera', 'admin')`);
});

afterAll(() => stack?.stop());

type Claims = Record<string, unknown>;

async function seals(claims: Claims): Promise<{ short: string | null; long: string | null }> {
  const signed = await stack.admin.query('select auth.sign_claims($1) as token', [JSON.stringify(claims)]);
  const token = [signed.rows[0].token];
  const short = await stack.admin.query('select (select seal from auth.member_seal($1)) as seal', token);
  const long = await stack.admin.query('select auth.seal_for($1) as seal', token).catch(() => ({ rows: [] }));
  return { short: short.rows[0].seal, long: long.rows[0]?.seal ?? null };
}

const now = () => Math.floor(Date.now() / 1000);
const good = (): Claims => ({
  ...{ iss: 'rowhouse', aud: 'rowhouse', sub: 'mia', role: 'tenant_user', tenant_id: 't_acme', tenant_role: 'member' },
  ...{ iat: now() - 10, exp: now() + 600, jti: 'a token' },
});

/** Values of each claim, right and wrong. Two changes at most, so that tokens often hold. */
const VALUES: Record<string, unknown[]> = {
  iss: ['another', '', null],
  aud: ['another', ['rowhouse'], null],
  sub: ['vera', 'nobody', '', 7, null],
  role: ['operator', 'rowhouse_worker', 'rowhouse_owner', null],
  tenant_id: ['t_globex', 't_asleep', 't_unknown', '', null],
  tenant_role: ['viewer', 'admin', 'owner', 'emperor', '', null],
  iat: [() => now() - 3, () => now() + 100],
  exp: [() => now() + 60, () => now() - 100, null],
  nbf: [() => now() - 3, () => now() + 100],
  jti: ['žeton', '', null],
  key_id: ['0123456789abcdef', '', null],
};
const change = fc
  .constantFrom(...Object.keys(VALUES))
  .chain((claim) => fc.constantFrom(...(VALUES[claim] as unknown[])).map((value) => ({ claim, value })));
const changed = fc
  .array(change, { minLength: 1, maxLength: 2 })
  .map((changes) =>
    Object.fromEntries(changes.map(({ claim, value }) => [claim, typeof value === 'function' ? value() : value])),
  );

test('the short way seals members, as the long way does', async () => {
  const { short, long } = await seals(good());
  expect(short).toBe(
    `t_acme 2 tenant_user ${Buffer.from('mia').toString('hex')} ${Buffer.from('a token').toString('hex')} 10000`,
  );
  expect(long).toBe(short);
});

test('whatever a token claims, the short way says what the long way says, or nothing', async () => {
  let both = 0;
  await fc.assert(
    fc.asyncProperty(changed, async (changes) => {
      const { short, long } = await seals({ ...good(), ...changes });
      if (short === null) return;
      both += 1;
      expect(short).toBe(long);
    }),
    { numRuns: 200 },
  );
  expect(both).toBeGreaterThan(5);
});

test.each([
  [
    'a token that was changed',
    (token: string) => token.replace(/\.(.)/, (_, first) => `.${first === 'A' ? 'B' : 'A'}`),
  ],
  ['a token without its signature', (token: string) => token.replace(/[^.]*$/, '')],
  ['a token with another header', (token: string) => token.replace(/^[^.]*/, 'eyJhbGciOiJub25lIn0')],
  ['a token and something behind it', (token: string) => `${token}.x`],
  ['what is no base64', (token: string) => token.replace(/\..*\./, '.%%%.')],
  ['nothing', () => ''],
])('the short way knows no %s', async (_what, change) => {
  const { rows } = await stack.admin.query('select auth.sign_claims($1) as token', [JSON.stringify(good())]);
  const token = rows[0].token as string;
  const known = await stack.admin.query('select seal from auth.member_seal($1)', [token]);
  expect(known.rows).toHaveLength(1);
  const { rows: unknown } = await stack.admin.query('select seal from auth.member_seal($1)', [change(token)]);
  expect(unknown).toEqual([]);
});

test('a retired key ends it, as a removed member and a suspended tenant do', async () => {
  const before = await seals(good());
  expect(before.short).not.toBeNull();
  await stack.admin.query(`delete from tenancy.members where tenant_id = 't_acme' and user_id = 'mia'`);
  expect(await seals(good())).toEqual({ short: null, long: null });
  await stack.admin.query(`insert into tenancy.members (tenant_id, user_id, role) values ('t_acme', 'mia', 'member')`);
  await stack.admin.query(`update tenancy.tenants set status = 'suspended' where id = 't_acme'`);
  expect(await seals(good())).toEqual({ short: null, long: null });
  await stack.admin.query(`update tenancy.tenants set status = 'active' where id = 't_acme'`);

  const { rows } = await stack.admin.query('select auth.sign_claims($1) as token', [JSON.stringify(good())]);
  const token = [rows[0].token];
  const { rows: keys } = await stack.admin.query(`select kid from auth.signing_keys where status = 'active'`);
  await stack.admin.query('select auth.rotate_signing_key()');
  const sealOf = async () => (await stack.admin.query('select seal from auth.member_seal($1)', token)).rows.length;
  expect(await sealOf()).toBe(1); // accepted until it is retired
  await stack.admin.query('select auth.retire_signing_key($1)', [keys[0].kid]);
  expect(await sealOf()).toBe(0);
});
