import type { Refusals, RuleFacts, Writable } from './types.ts';

const NOBODYS = '00000000-0000-4000-8000-000000000000';
const NOBODY = 't_prove_nobody';
const plain = (sql: string) => () => sql;
const A = ({ world }: RuleFacts) => world.tenants.A;

const addEndpoint =
  (columns: string, values: string, tenant = A) =>
  (facts: RuleFacts) =>
    `insert into webhook.endpoints (tenant_id, ${columns}) values ('${tenant(facts)}', ${values})`;
const setEndpoint = (column: string, value: string) =>
  addEndpoint(`url, ${column}`, `'https://prove.invalid', ${value}`);
/** Rows that belong to an endpoint: of nobody's, which is looked up last. */
const add =
  (table: string, columns = '', values = '') =>
  (facts: RuleFacts) =>
    `insert into webhook.${table} (tenant_id, endpoint_id${columns}) values ('${A(facts)}', '${NOBODYS}'${values})`;
const addDelivery = (columns: string, values: string) =>
  add('deliveries', `, position, event_type${columns}`, `, 1, 'prove'${values}`);
const addSecret = (kind: string, columns = '', values = '') =>
  add('endpoint_secrets', `, key_id, ciphertext, kind${columns}`, `, 'prove', '', '${kind}'${values}`);

/** What the tables of webhooks take no row of. */
export const WEBHOOK_VALUES = {
  'tenancy.plans': [
    ['23514 plans_webhooks_positive', plain('update tenancy.plans set webhook_endpoints = -1')],
    ['23514 plans_webhooks_positive', plain('update tenancy.plans set delivery_concurrency = 0')],
    ['23514 plans_webhooks_positive', plain('update tenancy.plans set delivery_weight = 0')],
  ],
  'webhook.senders': [
    [
      '23505 senders_pkey',
      plain(
        `insert into webhook.senders (key_id, public_key, allow_http) values ('prove', '', false), ('prove', '', false)`,
      ),
    ],
  ],
  'webhook.endpoints': [
    ...['ftp://prove.invalid', 'https://a:b@prove.invalid', 'https://prove.invalid/#a'].map((url): Refusals[number] => [
      '23514 endpoints_url_form',
      addEndpoint('url', `'${url}'`),
    ]),
    ['23514 endpoints_url_form', addEndpoint('url', `'https://prove.invalid/' || repeat('x', 2048)`)],
    ...[`'{}'`, `'{a b}'`, `'{null}'`, `array_fill('*'::text, '{101}')`, `array[repeat('x', 10001)]`].map(
      (types): Refusals[number] => ['23514 endpoints_event_types_form', setEndpoint('event_types', types)],
    ),
    ['23514 endpoints_event_types_wildcards', setEndpoint('event_types', `array_fill('*.done'::text, '{11}')`)],
    ['23514 endpoints_ordering_known', setEndpoint('ordering', `'strict'`)],
    ['23514 endpoints_rate_range', setEndpoint('rate', '0')],
    ['23514 endpoints_headers_form', setEndpoint('headers', `'[]'`)],
    ['23514 endpoints_projection_form', setEndpoint('projection', `'{a.b.c}'`)],
    ['23514 endpoints_projection_form', setEndpoint('projection', `array_fill('a'::text, '{101}')`)],
    ['23514 endpoints_signing_known', setEndpoint('signing', `'{v2}'`)],
    ['23514 endpoints_signing_known', setEndpoint('signing', `'{}'`)],
    ['23514 endpoints_timeout_range', setEndpoint('timeout_ms', '30001')],
    ['23514 endpoints_description_length', setEndpoint('description', `repeat('x', 1001)`)],
    ['23514 endpoints_disabled_says_why', setEndpoint('enabled', 'false')],
    ['23514 endpoints_disabled_says_why', setEndpoint('disabled_at', 'now()')],
    ['23503 endpoints_tenant_fkey', addEndpoint('url', `'https://prove.invalid'`, () => NOBODY)],
  ],
  'webhook.endpoint_states': [
    ['23514 endpoint_states_circuit_known', add('endpoint_states', ', circuit', `, 'broken'`)],
    ['23503 endpoint_states_endpoint_fkey', add('endpoint_states')],
  ],
  'webhook.endpoint_secrets': [
    ['23514 endpoint_secrets_kind_known', addSecret('other')],
    ['23514 endpoint_secrets_header_has_name', addSecret('header')],
    ['23514 endpoint_secrets_header_has_name', addSecret('hmac', ', header', `, 'x-prove'`)],
    // Its header's key is a partition's.
    [
      '23505',
      (facts) =>
        Array(2)
          .fill(addSecret('header', ', header', `, 'x-prove'`)(facts))
          .join('; '),
    ],
    ['23503 endpoint_secrets_endpoint_fkey', (facts) => `${addSecret('hmac')(facts)}; set constraints all immediate`],
  ],
  'webhook.deliveries': [
    ['23514 deliveries_status_known', addDelivery(', status', `, 'lost'`)],
    ['23514 deliveries_attempts_in_range', addDelivery(', attempts_before', ', 1')],
    ['23514 deliveries_dead_when_dead', addDelivery(', status', `, 'dead'`)],
    ['23514 deliveries_settled_is_not_due', addDelivery(', status, next_attempt_at', `, 'succeeded', now()`)],
  ],
} satisfies Readonly<Record<string, Refusals>>;

const ENDPOINT: Writable = {
  update: [
    ...['url', 'event_types', 'ordering', 'rate', 'headers', 'projection', 'signing', 'timeout_ms', 'enabled'],
    'description',
  ],
  delete: true,
};
const READ: Writable = { impossible: ['insert', 'update', 'delete'] };

/** What members write of webhooks. */
export const WEBHOOKS_BY_MEMBERS: Readonly<Record<string, Writable>> = {
  'v1.webhook_endpoints': { ...ENDPOINT, computed: ['public_keys', 'health'] },
  'v1.webhook_deliveries': READ,
  'v1.webhook_attempts': READ,
  'v1.webhook_blocked_keys': READ,
  'webhook.endpoints': ENDPOINT,
  'webhook.endpoint_states': {},
  'webhook.endpoint_secrets': {},
  'webhook.deliveries': {},
  'webhook.attempts': {},
  'webhook.senders': { select: false },
};

/** Tables that services reach through functions alone. */
export const WEBHOOK_TABLES: readonly string[] = Object.keys(WEBHOOKS_BY_MEMBERS).filter((name) =>
  name.startsWith('webhook.'),
);
