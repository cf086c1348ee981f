import type { Acting, Rule } from './types.ts';

const CREATE = 'v1.create_api_key(text,text[],text,timestamp with time zone,cidr[])';

const rule = (about: string, title: string, check: Rule['check'], login: Rule['login'] = 'authenticator'): Rule => ({
  about,
  family: 'key',
  title,
  login,
  check,
});

async function create({ ok }: Acting): Promise<string> {
  const [row] = await ok<{ made: { id: string } }>(`select v1.create_api_key('prove') as made`);
  return row?.made.id ?? '';
}
const revoke = 'select v1.revoke_api_key($1)';
const ended = 'select revoked_at is not null as ended from v1.api_keys where id = $1';
const idOf = ({ facts }: Acting, letter: 'A' | 'B') => facts.world.rows[letter].get('auth.api_keys')?.[0]?.id as string;

const ID = 'aaaabbbbccccdddd';
const usedAt = `select last_used_at = $3::timestamptz as told, last_used_at <= clock_timestamp() as past
  from auth.api_key_uses where tenant_id = $1 and key_id = $2`;

/** Keys of one id in both tenants, used long ago; and the sealer's role. */
async function plantUses({ ok, facts }: Acting, ids: string[]): Promise<void> {
  const { A, B } = facts.world.tenants;
  await ok('set local role rowhouse_sealer');
  await ok(
    `insert into auth.api_keys (tenant_id, id, name, scopes, tenant_role, created_by)
     select tenant, id, 'prove', '{read}', 'viewer', 'prove' from unnest($1::text[]) as tenant, unnest($2::text[]) as id`,
    [[A, B], ids],
  );
  await ok(
    `insert into auth.api_key_uses (tenant_id, key_id, last_used_at)
     select tenant_id, id, '2001-01-01' from auth.api_keys where id = any ($1)`,
    [ids],
  );
}

/** Who makes, ends and sees API keys, and what is kept of their use. */
export const keyKeepingRules: Rule[] = [
  rule(CREATE, 'an admin makes keys, in their own name, and no member does', async (acting) => {
    await acting.aside(async () => {
      await acting.enter('A_admin', 'tenant_user');
      const id = await create(acting);
      acting.same(
        await acting.ok('select created_by from v1.api_keys where id = $1', [id]),
        [{ created_by: acting.facts.world.subject('A', 'admin') }],
        'who made it',
      );
      acting.same(
        await acting.ok(`select current_setting('response.headers')::jsonb as headers`),
        [{ headers: [{ 'Cache-Control': 'no-store' }] }],
        'what the answer with the secret says of keeping it',
      );
      await acting.refused(
        'api_key_malformed: api_keys_scopes_known does not hold',
        `select v1.create_api_key('prove', '{write}')`,
      );
      await acting.refused(
        'api_key_malformed: expires_at has passed',
        `select v1.create_api_key('prove', expires_at => now())`,
      );
    });
    await acting.enter('A_member', 'tenant_user');
    await acting.refused(
      'role_insufficient: only an admin or owner makes API keys',
      `select v1.create_api_key('prove')`,
    );
  }),
  rule(
    'v1.revoke_api_key(text)',
    'an admin ends the key that is named, of their tenant, and no member does',
    async (acting) => {
      await acting.aside(async () => {
        await acting.enter('A_admin', 'tenant_user');
        const [one, other] = [await create(acting), await create(acting)];
        await acting.ok(revoke, [one]);
        acting.same(await acting.ok(ended, [one]), [{ ended: true }], 'the key that was named');
        acting.same(await acting.ok(ended, [other]), [{ ended: false }], 'a key that was not named');
        await acting.refused('api_key_unknown', revoke, [idOf(acting, 'B')]);
      });
      await acting.enter('A_member', 'tenant_user');
      await acting.refused('role_insufficient: only an admin or owner revokes API keys', revoke, [idOf(acting, 'A')]);
    },
  ),
  ...['auth.api_keys', 'auth.api_key_uses'].map((table) =>
    rule(table, 'an admin sees keys and their uses, and no member does', async (acting) => {
      const some = `select exists (select from ${table}) as some`;
      await acting.aside(async () => {
        await acting.enter('A_admin', 'tenant_user');
        acting.same(await acting.ok(some), [{ some: true }], `what an admin sees of ${table}`);
      });
      await acting.enter('A_member', 'tenant_user');
      acting.same(await acting.ok(some), [{ some: false }], `what a member sees of ${table}`);
    }),
  ),
  rule(
    'auth.list_api_keys(text)',
    "a tenant's keys are listed, and no other's",
    async (acting) => {
      const { A, B } = acting.facts.world.tenants;
      const listed = 'select exists (select from auth.list_api_keys($1) where id = $2) as listed';
      acting.same(await acting.ok(listed, [A, idOf(acting, 'A')]), [{ listed: true }], 'a key of its own');
      acting.same(await acting.ok(listed, [B, idOf(acting, 'A')]), [{ listed: false }], "another tenant's key");
    },
    'rowhouse_migrator',
  ),
  rule(
    'auth.record_api_key_uses(jsonb)',
    'a use is recorded of the key that is named, never backwards, never in the future',
    async (acting) => {
      const { A, B } = acting.facts.world.tenants;
      const other = ID.replaceAll('a', 'e');
      const tell = (at: string) =>
        acting.ok('select auth.record_api_key_uses($1)', [
          JSON.stringify([{ tenant_id: A, key_id: ID, last_used_at: at }]),
        ]);
      const is = async (told: [string, string, string], past: boolean, what: string) =>
        acting.same(await acting.ok(usedAt, told), [{ told: past, past: true }], what);
      await plantUses(acting, [ID, other]);
      await tell('2002-02-02');
      await is([A, ID, '2002-02-02'], true, 'what was told');
      await is([A, other, '2001-01-01'], true, 'another key');
      await is([B, ID, '2001-01-01'], true, "another tenant's key");
      await tell('2001-06-06');
      await is([A, ID, '2002-02-02'], true, 'an older use');
      await tell('2999-01-01');
      await is([A, ID, '2999-01-01'], false, 'a use that is to come');
    },
    'rowhouse_migrator',
  ),
  rule(
    'auth.exchange_api_key(text,inet,text[],interval)',
    'the edge exchanges keys and tells of their use, and reads neither',
    async ({ ok, refused, serve }) => {
      await refused('api_key_invalid: null', `select auth.exchange_api_key('prove', null)`);
      await ok(`select auth.record_api_key_uses('[]')`);
      await serve();
      for (const table of ['auth.api_key_hashes', 'auth.api_key_uses']) await refused('42501', `select from ${table}`);
    },
    'rowhouse_edge',
  ),
  rule(
    'auth.api_keyset()',
    "the edge gets PostgREST's keys, and reads no secret",
    async ({ ok, refused, same }) => {
      const [row] = await ok<{ set: { keys: { kty: string }[] } }>('select auth.api_keyset() as set');
      same(row?.set.keys[0]?.kty, 'oct', 'the kind of a key');
      await refused('42501', 'select from auth.signing_keys');
    },
    'rowhouse_edge',
  ),
];
