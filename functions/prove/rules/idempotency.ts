import { LOST, say, token } from './requests.ts';
import type { Acting, Rule } from './types.ts';

const CLAIM = 'select auth.claim_key($1)';
const HASH = 'h'.repeat(43);
/** An owner's. */
const RANK = 4;
const KEEP = `select auth.keep_answer($1, $2, $3, 201, '{"a":1}', 'body') as kept`;
const KEPT = 'select status, headers from auth.kept_answer($1, $2, $3)';

const rule = (
  about: string,
  title: string,
  check: Rule['check'],
  login: Rule['login'] = 'rowhouse_migrator',
): Rule => ({
  about,
  family: 'state',
  title,
  login,
  check,
});

/** Sealed for A's owner as the maker of the gate, whom a policy now shows every tenant's keys: the functions ask by themselves. */
async function amongAll(acting: Acting): Promise<void> {
  await acting.ok(`set local lock_timeout = '5s'`);
  await acting.ok(
    'create policy prove on auth.idempotency_keys for all to rowhouse_sealer using (true) with check (true)',
  );
  await acting.enter('A_owner', 'rowhouse_sealer');
}

/** Keys that only look like the one called prove: another tenant's, another subject's, another. */
async function addOthers({ ok, facts }: Acting, status: number | null = null): Promise<void> {
  const { A, B } = facts.world.tenants;
  await ok(
    `insert into auth.idempotency_keys (tenant_id, subject, key, request_hash, rank, answer_status, answer_headers)
     select *, $4, $6::integer, $5::integer, case when $5::integer is null then null else '{}'::jsonb end
     from (values ($1, $3, 'prove'), ($2, 'prove', 'prove'), ($2, $3, 'prove_other')) as others`,
    [B, A, facts.world.subject('A', 'owner'), HASH, status, RANK],
  );
}

async function addOwn({ ok, facts }: Acting, key: string, hours = 0, rank = RANK): Promise<void> {
  await ok(
    `insert into auth.idempotency_keys (tenant_id, subject, key, request_hash, claimed_at, rank)
     values ($1, $2, $3, $4, now() - make_interval(hours => $5), $6)`,
    [facts.world.tenants.A, facts.world.subject('A', 'owner'), key, HASH, hours, rank],
  );
}

/** What was carried out under an Idempotency-Key is not carried out again, and whose answers are whose. */
export const idempotencyRules: Rule[] = [
  rule('auth.claim_key(text)', "a key is taken once, and nobody else's stands in its way", async (acting) => {
    await amongAll(acting);
    await say(acting, 'POST', '/files');
    await addOthers(acting);
    await addOwn(acting, 'prove_old', 25, RANK - 1);
    for (const key of ['prove', 'prove_old']) {
      await acting.ok(CLAIM, [key]);
      await acting.refused(LOST, CLAIM, [key]);
    }
    await acting.refused(LOST, CLAIM, ['"prove"']);
    await acting.ok(
      `update auth.idempotency_keys set answer_status = 200, answer_headers = '{}' where key = 'prove_old'`,
    );
    await acting.refused(
      'idempotency_answer_lost: the request was carried out with status 200; such an answer is not kept',
      CLAIM,
      ['prove_old'],
    );
  }),
  rule('auth.claim_key(text)', 'a key is of one request, as the edge or the door saw it', async (acting) => {
    const told = 'idempotency_mismatch: the key was used for another request';
    await acting.enter('A_owner', 'rowhouse_sealer');
    await say(acting, 'POST', '/files', { 'x-rowhouse-request-hash': HASH });
    await acting.ok(CLAIM, ['prove_edge']);
    await acting.refused(LOST, CLAIM, ['prove_edge']);
    await say(acting, 'POST', '/files', { 'x-rowhouse-request-hash': 'i'.repeat(43) });
    await acting.refused(told, CLAIM, ['prove_edge']);
    await say(acting, 'POST', '/files');
    await acting.ok(CLAIM, ['prove_door']);
    await say(acting, 'POST', '/jobs');
    await acting.refused(told, CLAIM, ['prove_door']);
  }),
  rule('auth.claim_key(text)', 'a key is of one rank, as the gate leaves it', async (acting) => {
    const told = 'idempotency_mismatch: the key was used by who could do more, or less';
    await acting.enter('A_owner', 'rowhouse_sealer');
    await say(acting, 'POST', '/files', { 'x-rowhouse-request-hash': HASH });
    for (const rank of [RANK - 1, RANK + 1]) {
      await addOwn(acting, `prove_${rank}`, 0, rank);
      await acting.refused(told, CLAIM, [`prove_${rank}`]);
    }
    await addOwn(acting, 'prove_own');
    await acting.refused(LOST, CLAIM, ['prove_own']);
    await acting.ok(CLAIM, ['prove_new']);
    await acting.refused(LOST, CLAIM, ['prove_new']);
  }),
  rule('auth.claim_key(text)', 'a key is 1 to 255 printable characters', async (acting) => {
    const told = 'idempotency_key_invalid: 1 to 255 printable ASCII characters';
    await acting.enter('A_owner', 'rowhouse_sealer');
    await acting.ok(CLAIM, ['k'.repeat(255)]);
    for (const key of ['', '""', 'k'.repeat(256), 'schlüssel', 'a\nb']) await acting.refused(told, CLAIM, [key]);
  }),
  rule('auth.hold_key(text,text,text)', 'a key that another request holds waits for it', async (acting) => {
    // What it answers while another session holds the key: a rule has one session.
    await acting.aside(async () => {
      await acting.enter('A_owner', 'rowhouse_sealer');
      await acting.ok(CLAIM, ['prove']);
    });
    await acting.ok(`create or replace function auth.hold_key(tenant text, subject_id text, wanted text) returns boolean
      language sql security definer set search_path = '' return false`);
    await acting.enter('A_owner', 'rowhouse_sealer');
    await acting.refused('idempotency_in_flight: a request with this key is being carried out', CLAIM, ['prove']);
  }),
  rule(
    'auth.keep_answer(text,text,text,integer,jsonb,bytea)',
    'one request is given its answer, once',
    async (acting) => {
      await amongAll(acting);
      await addOthers(acting);
      await addOwn(acting, 'prove');
      const keep = async (hash: string) => acting.ok(KEEP, [token(acting), 'prove', hash]);
      acting.same(await keep('i'.repeat(43)), [{ kept: false }], "another request's answer was kept");
      acting.same(await keep(HASH), [{ kept: true }], 'its answer was kept');
      acting.same(await keep(HASH), [{ kept: false }], 'a second answer was kept');
      const answered =
        'select count(*)::int as rows from auth.idempotency_keys where answer_status = 201 and request_hash = $1';
      acting.same(await acting.ok(answered, [HASH]), [{ rows: 1 }], 'requests with that answer');
    },
  ),
  rule('auth.kept_answer(text,text,text)', 'an answer is given to who asked, for a day', async (acting) => {
    await amongAll(acting);
    await addOthers(acting, 299);
    await addOwn(acting, 'prove');
    await addOwn(acting, 'prove_old', 25);
    await acting.ok(KEEP, [token(acting), 'prove', HASH]);
    const kept = (key: string, hash: string) => acting.ok(KEPT, [token(acting), key, hash]);
    acting.same(await kept('prove', HASH), [{ status: 201, headers: { a: 1 } }], 'its answer');
    acting.same(await kept('prove', 'i'.repeat(43)), [], "another request's answer");
    acting.same(await kept('prove_old', HASH), [], "yesterday's answer");
  }),
  rule(
    'auth.kept_answer(text,text,text)',
    'the edge keeps answers and gives them, as the bearer of a token',
    async (acting) => {
      // Each in a context of its own: nobody has entered before.
      await acting.aside(async () => {
        acting.same(await acting.ok(KEEP, [token(acting), 'prove', HASH]), [{ kept: false }], 'no key waits');
      });
      acting.same(await acting.ok(KEPT, [token(acting), 'prove', HASH]), [], 'no answer is kept');
      await acting.refused('42501', 'select from auth.idempotency_keys');
    },
    'rowhouse_edge',
  ),
  rule(
    'auth.purge_idempotency_keys()',
    'the worker removes what is old, and reads no keys',
    async (acting) => {
      await acting.ok('select auth.purge_idempotency_keys()');
      await acting.serve();
      await acting.refused('42501', 'select from auth.idempotency_keys');
    },
    'rowhouse_worker',
  ),
  rule('auth.idempotency_keys', 'the purge sees what is older than a day, and adds nothing', async (acting) => {
    await acting.enter('A_owner', 'rowhouse_sealer');
    await addOwn(acting, 'prove');
    await addOwn(acting, 'prove_old', 25);
    await acting.ok('set local role rowhouse_owner');
    const seen = `select key from auth.idempotency_keys where key like 'prove%'`;
    acting.same(await acting.ok(seen), [{ key: 'prove_old' }], 'the keys that it sees');
    await acting.refused('42501', `update auth.idempotency_keys set subject = 'other' where key = 'prove_old'`);
  }),
];
