import type { Acting, Rule } from './types.ts';
import { createEndpoint, make, webhookRule } from './webhook-acting.ts';

const INVALID = 'webhook_endpoint_invalid';
const value = (name: string) => `${INVALID}: the value of ${name} is not 1 to 4096 visible ASCII characters`;
const many = JSON.stringify(Object.fromEntries(Array.from({ length: 21 }, (_, nth) => [`x-${nth}`, 'a'])));

const HEADERS_REFUSED: readonly [told: string, headers: string][] = [
  [`${INVALID}: headers is an object of at most 20 names and values`, '[]'],
  [`${INVALID}: headers is an object of at most 20 names and values`, many],
  [`${INVALID}: x a is no name of a header, or there twice`, '{"x a": "a"}'],
  [`${INVALID}: x-a is no name of a header, or there twice`, '{"x-a": "a", "X-A": "b"}'],
  [`${INVALID}: webhook-id is not yours to set`, '{"Webhook-Id": "a"}'],
  [`${INVALID}: host is not yours to set`, '{"Host": "a"}'],
  [value('x-a'), '{"x-a": 1}'],
  [value('x-a'), '{"x-a": null}'],
  [value('x-a'), '{"x-a": "a\\r\\nb"}'],
  [value('x-a'), JSON.stringify({ 'x-a': 'a'.repeat(4097) })],
];

/** What is stored for an endpoint: of each secret its kind or header, and how long it lives. */
async function kept({ ok }: Acting, id: string): Promise<string[]> {
  const rows = await ok<{ told: string }>(
    `select concat_ws(' ', coalesce(header, kind), case when expires_at is not null then 'ends' end) as told
     from webhook.endpoint_secrets where endpoint_id = $1 order by 1`,
    [id],
  );
  return rows.map(({ told }) => told);
}

const setHeaders = (acting: Acting, id: string, headers: string) =>
  acting.ok('update webhook.endpoints set headers = $2 where id = $1', [id, headers]);

/** What becomes of signing keys, and of the values of headers. */
export const webhookSecretRules: Rule[] = [
  webhookRule('webhook.endpoint_secrets', 'nobody who has a token reads a secret', async (acting) => {
    await acting.enter('A_owner', 'tenant_user');
    await acting.ok('select id, kind, public_key, created_at, expires_at from webhook.endpoint_secrets');
    for (const column of ['ciphertext', 'header', 'key_id'])
      await acting.refused('42501', `select ${column} from webhook.endpoint_secrets`);
  }),
  webhookRule(
    'webhook.keep_headers(uuid,jsonb)',
    'headers are no one else’s, and their values stay hidden',
    async (acting) => {
      const { enter, refused, same } = acting;
      await enter('A_admin', 'tenant_user');
      const { headers } = await createEndpoint(acting, `, headers => '{"X-A": "one"}'`);
      same(headers, { 'x-a': null }, 'what is shown of its headers');
      for (const [told, given] of HEADERS_REFUSED) await refused(told, make(`, headers => '${given}'`));
    },
  ),
  webhookRule(
    'webhook.put_away(uuid,text,text,bytea)',
    'no secret is stored that no worker could read',
    async (acting) => {
      await acting.enter('A_admin');
      await acting.aside(async () => void (await createEndpoint(acting)));
      await acting.ok('delete from webhook.senders');
      await acting.refused('webhooks_unavailable: no worker has registered a key to encrypt secrets for', make());
    },
    'rowhouse_migrator',
  ),
  webhookRule(
    'webhook.keep_headers(uuid,jsonb)',
    'a change of headers is of one endpoint, and leaves its signing key',
    async (acting) => {
      await acting.enter('A_admin');
      const given = `, headers => '{"x-a": "one"}'`;
      const [one, other] = [await createEndpoint(acting, given), await createEndpoint(acting, given)];
      await setHeaders(acting, one.id, '{"x-a": null, "x-b": "two"}');
      acting.same(await kept(acting, one.id), ['hmac', 'x-a', 'x-b'], 'what is kept of it');
      await setHeaders(acting, one.id, '{}');
      acting.same(await kept(acting, one.id), ['hmac'], 'what is kept of it');
      acting.same(await kept(acting, other.id), ['hmac', 'x-a'], 'what is kept of another');
    },
    'rowhouse_migrator',
  ),
  webhookRule(
    'webhook.add_missing_secrets(uuid,text[])',
    'there is a key for each way to sign, once',
    async (acting) => {
      await acting.enter('A_admin');
      const { id } = await createEndpoint(acting);
      acting.same(await kept(acting, id), ['hmac'], 'its keys');
      await acting.ok(`update webhook.endpoints set signing = '{v1,v1a}' where id = $1`, [id]);
      acting.same(await kept(acting, id), ['ed25519', 'hmac'], 'its keys');
    },
    'rowhouse_migrator',
  ),
  webhookRule(
    'webhook.add_secret(uuid,text)',
    'a rotated key ends, and the one before it is gone; of no other endpoint',
    async (acting) => {
      const { enter, ok, same } = acting;
      await enter('A_admin');
      const given = `, headers => '{"x-a": "one"}'`;
      const [one, other] = [await createEndpoint(acting, given), await createEndpoint(acting, given)];
      for (const { id } of [one, other, one]) await ok('select v1.rotate_webhook_secret($1)', [id]);
      const told = ['hmac', 'hmac ends', 'x-a'];
      same([await kept(acting, one.id), await kept(acting, other.id)], [told, told], 'their keys');
      const revision = 'select revision::integer from webhook.endpoints where id = $1';
      same(
        [await ok(revision, [one.id]), await ok(revision, [other.id])],
        [[{ revision: 3 }], [{ revision: 2 }]],
        'how often they changed',
      );
    },
    'rowhouse_migrator',
  ),
];
