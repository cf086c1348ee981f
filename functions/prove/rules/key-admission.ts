import { exchanged, ONE, type Planted, plant, rule, TWO, tenantOf } from './api-keys.ts';
import type { Acting, Rule } from './types.ts';

const GONE = 'api_key_invalid: the API key is revoked, expired or gone';

const claim = (acting: Acting, more: object = {}) => ({
  tenant_id: tenantOf(acting),
  key_id: ONE,
  sub: `key:${ONE}`,
  scope: 'read write admin',
  tenant_role: 'admin',
  ...more,
});
const admit = 'select rank, may_write from auth.admit_api_key($1)';

/** What is left of a key's rank and right to write, by what the key and the token say. */
const LEFT: [what: string, key: Planted, token: object, rank: number, mayWrite: boolean][] = [
  ['all of both', {}, {}, 3, true],
  ["the key's role", { role: 'viewer' }, {}, 1, true],
  ["the token's role", {}, { tenant_role: 'viewer' }, 1, true],
  ['no role in the token', {}, { tenant_role: undefined }, 0, true],
  ["the key's scopes", { scopes: ['read'] }, {}, 1, false],
  ["the key's scopes without admin", { scopes: ['read', 'write'] }, {}, 2, true],
  ["the token's scopes", {}, { scope: 'read' }, 1, false],
  ["the token's scopes without admin", {}, { scope: 'read write' }, 2, true],
  ['no scopes in the token', {}, { scope: undefined }, 1, false],
];

/** What the gate makes of a token that was made from an API key. */
export const keyAdmissionRules: Rule[] = [
  rule(
    'v1.create_api_key(text,text[],text,timestamp with time zone,cidr[])',
    'a key makes no keys, whatever its role',
    async (acting) => {
      const { token } = await exchanged(acting, await plant(acting, ONE));
      await acting.ok('select auth.enter($1)', [token]);
      await acting.ok('set local role rowhouse_owner');
      acting.same(await acting.ok(`select request.has_tenant_role('admin') as admin`), [{ admin: true }], 'its role');
      await acting.refused('role_insufficient: an API key makes no API keys', `select v1.create_api_key('prove')`);
    },
  ),
  rule('auth.admit_api_key(jsonb)', 'a token carries less than its key, never more', async (acting) => {
    for (const [what, key, token, rank, may_write] of LEFT) {
      await acting.aside(async () => {
        await plant(acting, TWO, { role: 'viewer', scopes: ['read'] });
        await plant(acting, ONE, key);
        acting.same(await acting.ok(admit, [claim(acting, token)]), [{ rank, may_write }], what);
      });
    }
  }),
  rule('auth.admit_api_key(jsonb)', 'a token of a key that is gone is refused', async (acting) => {
    const other = { letter: 'B' } as const;
    await acting.aside(async () => {
      await plant(acting, TWO, other);
      await acting.ok(admit, [claim(acting, { tenant_id: tenantOf(acting, 'B'), key_id: TWO, sub: `key:${TWO}` })]);
      await acting.refused(GONE, admit, [claim(acting, { key_id: TWO, sub: `key:${TWO}` })]);
      await acting.refused(GONE, admit, [claim(acting, { sub: undefined })]);
    });
    await acting.aside(async () => {
      await plant(acting, ONE);
      await plant(acting, TWO);
      for (const id of [ONE, TWO]) await acting.ok(admit, [claim(acting, { key_id: id, sub: `key:${id}` })]);
      await acting.refused(GONE, admit, [claim(acting, { sub: `key:${TWO}` })]);
    });
    for (const ended of [{ revoked: true }, { ends: '0' }])
      await acting.aside(async () => {
        await plant(acting, ONE, ended);
        await acting.refused(GONE, admit, [claim(acting)]);
      });
  }),
];
