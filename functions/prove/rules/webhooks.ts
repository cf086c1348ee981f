import type { Rule } from './types.ts';
import { createEndpoint, make, NOBODYS, webhookRule } from './webhook-acting.ts';

const CREATE = 'v1.create_webhook_endpoint(text,text[],text,integer,jsonb,text[],text[],integer,boolean,text)';
const REPLAY =
  'v1.replay_webhook_deliveries(uuid,text,text,timestamp with time zone,timestamp with time zone,timestamp with time zone,boolean)';

/** What an admin does with an endpoint. */
const WORK = {
  'v1.rotate_webhook_secret(uuid,interval)': 'select v1.rotate_webhook_secret($1)',
  'v1.test_webhook_endpoint(uuid,text)': 'select v1.test_webhook_endpoint($1)',
  [REPLAY]: `select v1.replay_webhook_deliveries($1, from_position => '0')`,
  'v1.redeliver_webhook(uuid,text)': 'select v1.redeliver_webhook($1, max(position)::text) from v1.events',
} as const;

const rotate = (overlap: string) => `select v1.rotate_webhook_secret($1, ${overlap})`;
const test = (type: string) => `select v1.test_webhook_endpoint($1, ${type})`;
const TYPE = 'webhook_endpoint_invalid: that is no type of event';
const OVERLAP = 'webhook_endpoint_invalid: overlap is between 0 and 7 days';
const POSITION = 'webhook_delivery_unknown: the endpoint asks for no event at this position';

const REFUSED: readonly [about: string, told: string, sql: string][] = [
  ['v1.rotate_webhook_secret(uuid,interval)', OVERLAP, rotate('null')],
  ['v1.rotate_webhook_secret(uuid,interval)', OVERLAP, rotate(`'8 days'`)],
  ['v1.test_webhook_endpoint(uuid,text)', TYPE, test('null')],
  ['v1.test_webhook_endpoint(uuid,text)', TYPE, test(`'a b'`)],
  ['v1.test_webhook_endpoint(uuid,text)', TYPE, test(`repeat('a', 201)`)],
  [REPLAY, 'webhook_replay_invalid: nothing says which events', 'select v1.replay_webhook_deliveries($1)'],
  ['v1.redeliver_webhook(uuid,text)', POSITION, `select v1.redeliver_webhook($1, '0')`],
  ...['order-7', '-1', 'evt_', '1'.repeat(20)].map((event): [about: string, told: string, sql: string] => [
    'webhook.event_position(text,text)',
    'webhook_replay_invalid: position is no event',
    `select v1.redeliver_webhook($1, '${event}')`,
  ]),
];

/** Who makes webhook endpoints, which there can be, and what their admins do with them. */
export const webhookRules: Rule[] = [
  webhookRule(CREATE, 'an admin makes endpoints, in their own name, and no member does', async (acting) => {
    const { aside, enter, ok, refused, same, facts } = acting;
    await aside(async () => {
      await enter('A_admin', 'tenant_user');
      const { id, created_by } = await createEndpoint(acting);
      same(created_by, facts.world.subject('A', 'admin'), 'who it says');
      same(
        await ok('select tenant_id from v1.webhook_endpoints where id = $1', [id]),
        [{ tenant_id: facts.world.tenants.A }],
        'whose it is',
      );
    });
    await enter('A_member', 'tenant_user');
    await refused('role_insufficient: only an admin or owner makes webhook endpoints', make());
  }),
  webhookRule(CREATE, 'an endpoint is what its table takes', async (acting) => {
    await acting.enter('A_admin', 'tenant_user');
    await createEndpoint(acting);
    await acting.refused('webhook_endpoint_invalid: ordering does not fit', make(`, ordering => 'strict'`));
  }),
  webhookRule(
    'webhook.check_quota()',
    'a tenant has as many endpoints as its plan says',
    async (acting) => {
      await acting.enter('A_admin');
      await acting.aside(async () => void (await createEndpoint(acting)));
      await acting.ok('update tenancy.plans set webhook_endpoints = 0');
      await acting.refused('quota_exceeded', make());
    },
    'rowhouse_migrator',
  ),
  webhookRule(
    'webhook.check_url(text)',
    'nothing is sent over plain http, unless the workers are told to',
    async (acting) => {
      const { enter, ok, refused } = acting;
      await enter('A_admin');
      await ok('update webhook.senders set allow_http = false');
      const { id } = await createEndpoint(acting);
      const told = 'webhook_endpoint_invalid: webhooks are sent over https';
      await refused(told, make('', 'http://hooks.invalid/'));
      const change = `update webhook.endpoints set url = 'http://hooks.invalid/' where id = $1`;
      await refused(told, change, [id]);
      await ok('update webhook.senders set allow_http = true');
      await ok(change, [id]);
    },
    'rowhouse_migrator',
  ),
  webhookRule('webhook.guard_endpoint()', 'what follows from a change of an endpoint', async (acting) => {
    const { enter, ok, refused, same } = acting;
    await enter('A_admin', 'tenant_user');
    const { id } = await createEndpoint(acting);
    const set = (change: string) =>
      ok(`update v1.webhook_endpoints set ${change} where id = $1 returning disabled_reason as why`, [id]);
    same(await set('enabled = false'), [{ why: 'by_request' }], 'why it is disabled');
    same(await set('enabled = true'), [{ why: null }], 'why it is enabled');
    await set(`signing = '{v1,v1a}'`);
    const kinds = 'select kind from webhook.endpoint_secrets where endpoint_id = $1 order by kind';
    same(await ok(kinds, [id]), [{ kind: 'ed25519' }, { kind: 'hmac' }], 'its secrets');
    const refuse = (change: string, why: string) =>
      refused(`webhook_endpoint_invalid: ${why}`, `update v1.webhook_endpoints set ${change} where id = $1`, [id]);
    await refuse(`ordering = 'strict'`, 'ordering does not fit');
    await refuse('ordering = null', 'ordering must not be null');
  }),
  ...Object.entries(WORK).map(([about, sql]) =>
    webhookRule(about, 'it is for the admins of the endpoint that is named', async (acting) => {
      const { aside, enter, ok, refused } = acting;
      await aside(async () => {
        await enter('A_admin', 'tenant_user');
        const { id } = await createEndpoint(acting);
        await ok(`select v1.emit_event('prove.done')`);
        await ok(sql, [id]);
        await refused('webhook_endpoint_unknown', sql, [NOBODYS]);
      });
      await enter('A_member', 'tenant_user');
      await ok(`select v1.emit_event('prove.done')`);
      await refused('role_insufficient: only an admin or owner works with webhook endpoints', sql, [NOBODYS]);
    }),
  ),
  ...[...new Set(REFUSED.map(([about]) => about))].map((about) =>
    webhookRule(about, 'what it is told makes sense', async (acting) => {
      await acting.enter('A_admin', 'tenant_user');
      const { id } = await createEndpoint(acting);
      for (const [of, told, sql] of REFUSED) if (of === about) await acting.refused(told, sql, [id]);
    }),
  ),
  // What calls it and what it is called for are the same: it has a rule of its own, so that its body is looked at.
  webhookRule(
    'webhook.require_endpoint(uuid)',
    'it finds what is the tenant’s own, and for its admins alone',
    async (acting) => {
      const { enter, refused, facts } = acting;
      const id = facts.world.rows.B.get('webhook.endpoints')?.[0]?.id;
      await enter('A_admin', 'tenant_user');
      await refused('webhook_endpoint_unknown', WORK['v1.test_webhook_endpoint(uuid,text)'], [id]);
    },
  ),
  ...['endpoints', 'endpoint_states', 'endpoint_secrets', 'deliveries', 'attempts'].map((table) =>
    webhookRule(`webhook.${table}`, 'its rows are for admins', async ({ aside, enter, ok, same }) => {
      const seen = `select count(*) > 0 as seen from webhook.${table}`;
      await aside(async () => {
        await enter('A_admin', 'tenant_user');
        same(await ok(seen), [{ seen: true }], 'whether an admin sees any');
      });
      await enter('A_member', 'tenant_user');
      same(await ok(seen), [{ seen: false }], 'whether a member sees any');
    }),
  ),
];
