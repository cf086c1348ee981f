import type { Refusals, RuleFacts } from './types.ts';

const NOBODYS = '00000000-0000-4000-8000-000000000000';
const plain = (sql: string) => () => sql;
const A = ({ world }: RuleFacts) => world.tenants.A;

const addPools = (rows: string) => plain(`insert into tenancy.pools (name, url, kind, connections) values ${rows}`);
const addDomain =
  (host: string, tenant = A) =>
  (facts: RuleFacts) =>
    `insert into tenancy.domains (host, tenant_id) values ('${host}', '${tenant(facts)}')`;
const addSettings = (column: string, value: string) => (facts: RuleFacts) =>
  `insert into tenancy.tenant_settings (tenant_id, ${column}) values ('${A(facts)}', ${value})`;
const addBucket =
  (kind: string, units: string, tenant = A) =>
  (facts: RuleFacts) =>
    `insert into metering.rate_buckets (tenant_id, kind, units, refilled_at) values ('${tenant(facts)}', '${kind}', '${units}', now())`;
const addKey =
  (key: string, columns = '', values = '', tenant = A) =>
  (facts: RuleFacts) =>
    `insert into auth.idempotency_keys (tenant_id, subject, key, request_hash, rank${columns}) values ('${tenant(facts)}', 'prove', ${key}, 'x', 1${values})`;
const nobody = () => 't_prove_nobody';

/** What the edge's tables take no row of. */
export const EDGE_VALUES = {
  'tenancy.plans': [
    ['23514 plans_rates_positive', plain('update tenancy.plans set write_burst = 0')],
    ['23514 plans_requests_positive', plain('update tenancy.plans set queue_length = -1')],
    ['23514 plans_queue_wait_range', plain(`update tenancy.plans set queue_wait = '61 s'`)],
    ['23514 plans_statement_timeout_range', plain(`update tenancy.plans set statement_timeout = '2 hours'`)],
    ['23514 plans_cache_bytes_not_negative', plain('update tenancy.plans set cache_bytes = -1')],
    ['23514 plans_open_streams_not_negative', plain('update tenancy.plans set open_streams = -1')],
  ],
  'tenancy.tenant_settings': [
    ['23514 tenant_settings_rates_positive', addSettings('write_burst', '0')],
    ['23514 tenant_settings_requests_positive', addSettings('request_concurrency', '0')],
    ['23514 tenant_settings_queue_wait_range', addSettings('queue_wait', `'61 s'`)],
    ['23514 tenant_settings_statement_timeout_range', addSettings('statement_timeout', `'1 ms'`)],
    ['23514 tenant_settings_cache_bytes_not_negative', addSettings('cache_bytes', '-1')],
    ['23514 tenant_settings_open_streams_not_negative', addSettings('open_streams', '-1')],
    ['23514 tenant_settings_cors_origins_form', addSettings('cors_origins', `'{*}'`)],
    [
      '23503 tenant_settings_tenant_fkey',
      plain(`insert into tenancy.tenant_settings (tenant_id) values ('t_prove_nobody')`),
    ],
  ],
  'tenancy.domains': [
    ['23505 domains_pkey', (facts) => `${addDomain('prove.invalid')(facts)}, ('prove.invalid', '${A(facts)}')`],
    ['23514 domains_host_form', addDomain('No Host')],
    ['23503 domains_tenant_fkey', addDomain('prove.invalid', nobody)],
  ],
  'tenancy.pools': [
    ['23505 pools_pkey', addPools(`('prove', 'http://prove', 'shared', 1), ('prove', 'http://prove', 'shared', 1)`)],
    ['23514 pools_name_form', addPools(`('No Name', 'http://prove', 'shared', 1)`)],
    ['23514 pools_url_form', addPools(`('prove', 'file:///prove', 'shared', 1)`)],
    ['23514 pools_kind_known', addPools(`('prove', 'http://prove', 'other', 1)`)],
    ['23514 pools_connections_range', addPools(`('prove', 'http://prove', 'shared', 0)`)],
  ],
  'metering.edges': [
    [
      '23505 edges_pkey',
      plain(`insert into metering.edges (id, seen_at) values ('${NOBODYS}', now()), ('${NOBODYS}', now())`),
    ],
  ],
  'metering.rate_buckets': [
    ['23514 rate_buckets_kind_known', addBucket('other', '1')],
    ['23514 rate_buckets_units_number', addBucket('read', 'NaN')],
    ['23503 rate_buckets_tenant_fkey', addBucket('read', '1', nobody)],
  ],
  'auth.idempotency_keys': [
    ['23514 idempotency_keys_key_form', addKey(`''`)],
    ['23514 idempotency_keys_answer_success', addKey(`'prove'`, ', answer_status, answer_headers', `, 404, '{}'`)],
    [
      '23514 idempotency_keys_answer_size',
      addKey(
        `'prove'`,
        ', answer_status, answer_headers, answer_body',
        `, 200, '{}', convert_to(repeat('x', 262145), 'UTF8')`,
      ),
    ],
    ['23514 idempotency_keys_answer_whole', addKey(`'prove'`, ', answer_status', ', 200')],
    ['23503 idempotency_keys_tenant_fkey', addKey(`'prove'`, '', '', nobody)],
  ],
} satisfies Readonly<Record<string, Refusals>>;
