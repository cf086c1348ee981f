import { uuid } from '../random.ts';
import {
  addMember,
  asOwner,
  asSealer,
  begin,
  begun,
  ISSUER,
  OTHER,
  prepare,
  rule,
  type Session,
  WHO,
} from './sessions.ts';
import type { Acting, Rule } from './types.ts';

const REFRESH = 'auth.refresh_session(text,interval)';
const REVOKE = 'auth.revoke_refresh_token(text)';
const PURGE = 'auth.purge_refresh_tokens()';
const refresh = 'select auth.refresh_session($1, $2::interval) as made';
const revoke = 'select auth.revoke_refresh_token($1)';
const purge = 'select auth.purge_refresh_tokens()';

/** The next refresh token; null where the session is over. */
async function next({ ok }: Acting, token: string): Promise<string | null> {
  const [row] = await ok<{ made: Session | null }>(refresh, [token, '15 minutes']);
  return row?.made?.refresh_token ?? null;
}

async function alive(acting: Acting, token: string, wanted: boolean, what: string): Promise<void> {
  await acting.aside(async () => acting.same((await next(acting, token)) !== null, wanted, what));
}

/** A refresh token that B keeps: with the hash, or the family, of one of A's. */
async function plant({ ok, facts }: Acting, like: string, family: string): Promise<void> {
  await ok(
    `insert into auth.refresh_tokens (tenant_id, hash, family_id, subject, issuer, expires_at)
     values ($1, sha256(convert_to($2, 'UTF8')), $3, $4, $5, now() + interval '1 day')`,
    [facts.world.tenants.B, like, family, WHO, ISSUER],
  );
}
const familyIs = `select family_id from auth.refresh_tokens where hash = sha256(convert_to($1, 'UTF8'))`;
async function familyOf({ ok }: Acting, token: string): Promise<string> {
  const [row] = await ok<{ family_id: string }>(familyIs, [token]);
  return row?.family_id ?? '';
}
const kept = `select count(*)::int as kept, count(used_at)::int as used from auth.refresh_tokens where tenant_id = $1 and subject = $2`;

/** How sessions go on, and how they end. */
export const refreshRules: Rule[] = [
  rule(
    REFRESH,
    'a refresh token is good once: when it comes back its family ends, and nothing else',
    async (acting) => {
      const { A, B } = acting.facts.world.tenants;
      await prepare(acting);
      const [first, other] = [(await begun(acting)).refresh_token, (await begun(acting)).refresh_token];
      await plant(acting, first, await familyOf(acting, first));
      const second = (await next(acting, first)) ?? '';
      acting.same(await acting.ok(kept, [A, WHO]), [{ kept: 3, used: 1 }], 'what was used');
      acting.same(await acting.ok(kept, [B, WHO]), [{ kept: 1, used: 0 }], "another tenant's, after a use");
      await alive(acting, second, true, 'the next one');
      acting.same(await next(acting, first), null, 'the one that comes back');
      await alive(acting, second, false, 'its family');
      await alive(acting, other, true, 'another family');
      acting.same(await acting.ok(kept, [B, WHO]), [{ kept: 1, used: 0 }], "another tenant's, after its end");
    },
  ),
  rule(
    REFRESH,
    'a refresh token that is unknown, or kept by another tenant than it names, is good for nothing',
    async (acting) => {
      await prepare(acting);
      const { refresh_token: good } = await begun(acting);
      await alive(acting, good, true, 'a good one');
      const unknown = good.replace(/.{8}$/, '00000000');
      acting.same(await next(acting, unknown), null, 'an unknown one');
      await acting.ok(asOwner);
      await acting.ok(addMember, [acting.facts.world.tenants.B, WHO]);
      await acting.ok(asSealer);
      await plant(acting, unknown, uuid(1, 'prove'));
      acting.same(await next(acting, unknown), null, "another tenant's");
      await acting.ok(revoke, [unknown]);
      acting.same(await acting.ok(kept, [acting.facts.world.tenants.B, WHO]), [{ kept: 1, used: 0 }], 'what it ends');
    },
  ),
  ...(
    [
      ['its issuer', 'update auth.issuers set enabled = false where issuer = $1', () => [ISSUER]],
      ['its membership', 'delete from tenancy.members where user_id = $1 and tenant_id = $2', (A) => [WHO, A]],
    ] as [string, string, (A: string) => string[]][]
  ).map(([what, sql, values]) =>
    rule(REFRESH, `a session ends with ${what}`, async (acting) => {
      await prepare(acting);
      await acting.ok(asOwner);
      await acting.ok(addMember, [acting.facts.world.tenants.B, WHO]);
      await acting.ok(asSealer);
      const { refresh_token: good } = await begun(acting, acting.facts.world.tenants.A);
      await alive(acting, good, true, 'before');
      await acting.ok(asOwner);
      await acting.ok(sql, values(acting.facts.world.tenants.A));
      await acting.ok(asSealer);
      acting.same(await next(acting, good), null, `without ${what}`);
      acting.same(await acting.ok(kept, [acting.facts.world.tenants.A, WHO]), [{ kept: 0, used: 0 }], 'what is left');
    }),
  ),
  rule(REVOKE, 'a refresh token ends its family, and no other', async (acting) => {
    const { B } = acting.facts.world.tenants;
    await prepare(acting);
    const [first, other] = [(await begun(acting)).refresh_token, (await begun(acting)).refresh_token];
    await plant(acting, first, await familyOf(acting, first));
    const second = (await next(acting, first)) ?? '';
    await alive(acting, second, true, 'before');
    await acting.ok(revoke, [first]);
    await alive(acting, second, false, 'its family');
    await alive(acting, other, true, 'another family');
    acting.same(await acting.ok(kept, [B, WHO]), [{ kept: 1, used: 0 }], "another tenant's");
  }),
  rule(
    REVOKE,
    'the edge refreshes and ends sessions, and reads none',
    async (acting) => {
      acting.same(await next(acting, 'prove'), null, 'what is no refresh token');
      await acting.ok(revoke, ['prove']);
      const nobodys = [OTHER, 'ada', null, '1 minute', '1 day'];
      await acting.refused('token_invalid: its issuer is not trusted here', begin, nobodys);
      await acting.serve();
      await acting.refused('42501', 'select from auth.refresh_tokens');
    },
    'rowhouse_edge',
  ),
  rule(
    PURGE,
    'the worker removes refresh tokens that have expired, and reads none',
    async (acting) => {
      await acting.ok(purge);
      await acting.serve();
      await acting.refused('42501', 'select from auth.refresh_tokens');
    },
    'rowhouse_worker',
  ),
  rule(PURGE, 'a session that has not expired is kept', async (acting) => {
    await prepare(acting);
    const { refresh_token: good } = await begun(acting);
    await begun(acting, null, '1 minute', '-1 day');
    await acting.ok(purge);
    acting.same(await acting.ok(kept, [acting.facts.world.tenants.A, WHO]), [{ kept: 1, used: 0 }], 'what is left');
    await alive(acting, good, true, 'the one that has not');
  }),
];
