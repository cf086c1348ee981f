import { KEY_THAT_READS } from './tokens.ts';
import type { Acting, Rule } from './types.ts';

/** What a key is told whose request was committed before. */
export const LOST = 'idempotency_answer_lost: the request was carried out; its answer was not kept';

const PASS = 'select auth.pre_request()';
const TIMEOUT = `select extract(epoch from current_setting('statement_timeout')::interval)::integer * 1000 as timeout`;

const rule = (title: string, check: Rule['check'], more: Partial<Rule> = {}): Rule => ({
  about: 'auth.pre_request()',
  family: 'gate',
  title,
  login: 'authenticator',
  check,
  ...more,
});

/** What PostgREST says of the request at hand. */
export const say = ({ ok }: Acting, method: string, path: string, headers: object = {}) =>
  ok(
    `select set_config('request.method', $1, true), set_config('request.path', $2, true), set_config('request.headers', $3, true)`,
    [method, path, JSON.stringify(headers)],
  );

/** A token of the facts or of the world. */
export const token = ({ facts }: Acting, name = 'A_owner') => facts.tokens.get(name) ?? facts.world.tokens.get(name);

async function request(acting: Acting, bearer: string, method: string, path: string, headers: object = {}) {
  await acting.ok('set local role tenant_user');
  await say(acting, method, path, { authorization: `Bearer ${token(acting, bearer)}`, ...headers });
}

/** What the gate makes of a request's method, path and headers. */
export const requestRules: Rule[] = [
  rule('the gate takes the Idempotency-Key of a request that writes', async (acting) => {
    await request(acting, 'A_owner', 'POST', '/files', { 'idempotency-key': 'prove' });
    await acting.ok(PASS);
    await acting.refused(LOST, PASS);
  }),
  rule(
    'an API key without the scope write reads, and is told so when it would write',
    async (acting) => {
      const told = 'scope_insufficient: the API key has no scope write';
      const as = (method: string, path: string) => request(acting, KEY_THAT_READS, method, path);
      for (const [method, path] of [
        ['GET', '/files'],
        ['POST', '/rpc/whoami'],
      ] as const) {
        await acting.aside(async () => {
          await as(method, path);
          await acting.ok(PASS);
          await acting.ok('select from v1.files');
          await acting.refused('25006', `insert into v1.files (name, size) values ('prove', 1)`);
        });
      }
      for (const method of ['POST', 'PATCH', 'PUT', 'DELETE']) {
        await as(method, '/files');
        await acting.refused(told, PASS);
      }
    },
    { about: 'auth.admit_api_key(jsonb)' },
  ),
  rule("a statement has its tenant's time, as the plan says", async (acting) => {
    await request(acting, 'A_owner', 'GET', '/files');
    await acting.ok(PASS);
    const [limits] = await acting.ok(`select (metering.own_limits() ->> 'statement_timeout_ms')::integer as timeout`);
    acting.same(await acting.ok(TIMEOUT), [limits], 'the time of a statement, in ms');
  }),
  rule(
    "a tenant's time ends with its transaction",
    async (acting) => {
      // No plan's time, nor the login's own, which may be that of A's plan.
      await acting.ok(`set statement_timeout = '13 s'`);
      const [before] = await acting.ok(TIMEOUT);
      await request(acting, 'A_owner', 'GET', '/files');
      await acting.ok(PASS);
      const [during] = await acting.ok(TIMEOUT);
      acting.same(during?.timeout === before?.timeout, false, 'the tenant has the time that the session has');
      await acting.ok('commit');
      await acting.ok('begin');
      acting.same(await acting.ok(TIMEOUT), [before], 'the time of a statement, in ms, after the commit');
      await acting.ok('reset statement_timeout');
      await acting.ok('commit');
      await acting.ok('begin');
    },
    { commits: true },
  ),
  rule(
    'a request without headers has none',
    async ({ enter, ok, same }) => {
      await enter('A_owner', 'tenant_user');
      await ok(`select set_config('request.headers', '{"accept":"*/*"}', true)`);
      same(await ok(`select request.header('accept') as said`), [{ said: '*/*' }], 'the header');
      await ok(`select set_config('request.headers', '', true)`);
      same(await ok(`select request.header('accept') as said`), [{ said: null }], 'the header');
    },
    { about: 'request.header(text)' },
  ),
];
