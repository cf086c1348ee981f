import { EDGE_VALUES } from './edge-values.ts';
import { SCHEDULE_VALUES } from './job-schedules.ts';
import { LEDGER_VALUES } from './ledger-values.ts';
import type { Refusals, Rule, RuleFacts } from './types.ts';
import { WEBHOOK_VALUES } from './webhook-values.ts';

const A = ({ world }: RuleFacts) => world.tenants.A;
const NOBODYS = '00000000-0000-4000-8000-000000000000';
const setTenant = (set: string) => (facts: RuleFacts) => `update tenancy.tenants set ${set} where id = '${A(facts)}'`;
const setFile =
  (set: string, row: keyof RuleFacts['rows'] = 'pending') =>
  (facts: RuleFacts) =>
    `update app.files set ${set} where tenant_id = '${A(facts)}' and id = '${facts.rows[row]}'`;
const setJob =
  (set: string, row: keyof RuleFacts['rows'] = 'queued') =>
  (facts: RuleFacts) =>
    `update app.jobs set ${set} where tenant_id = '${A(facts)}' and id = '${facts.rows[row]}'`;
const addJob = (columns: string, values: string) => (facts: RuleFacts) =>
  `insert into app.jobs (tenant_id, created_by, type, ${columns}) values ('${A(facts)}', 'prove', 'csv.validate', ${values})`;
const addFinding = (change: Record<string, string>) => (facts: RuleFacts) => {
  const row = {
    tenant_id: `'${A(facts)}'`,
    job_id: `'${facts.rows.queued}'`,
    ordinal: '900001',
    rule: `'prove'`,
    message: `'prove'`,
    ...change,
  };
  return `insert into app.job_findings (${Object.keys(row)}) values (${Object.values(row)})`;
};
const addMember = (user: string, role: string, tenant?: string) => (facts: RuleFacts) =>
  `insert into tenancy.members (tenant_id, user_id, role) values ('${tenant ?? A(facts)}', '${user}', '${role}')`;
const setKeys = (set: string) => () => `update auth.signing_keys set ${set}`;
const plain = (sql: string) => () => sql;

/** By table. What a constraint forbids is written here once more, so that its going is noticed. */
const REFUSED: Readonly<Record<string, Refusals>> = {
  ...EDGE_VALUES,
  ...SCHEDULE_VALUES,
  ...LEDGER_VALUES,
  ...WEBHOOK_VALUES,
  'auth.operators': [
    ['23505 operators_pkey', plain('insert into auth.operators (subject) select subject from auth.operators limit 1')],
    ['23514 operators_subject_length', plain(`insert into auth.operators (subject) values ('')`)],
  ],
  'auth.signing_keys': [
    ['23514 signing_keys_kid_form', setKeys(`kid = 'a b'`)],
    ['23514 signing_keys_secret_length', setKeys(`secret = 'short'`)],
    ['23514 signing_keys_status_known', setKeys(`status = 'other'`)],
    ['23514 signing_keys_retired_at', setKeys('retired_at = now()')],
    [
      '23505 signing_keys_pkey',
      plain(`insert into auth.signing_keys (kid, status) select kid, 'accepted' from auth.signing_keys limit 1`),
    ],
    ['23505 signing_keys_one_active', plain('insert into auth.signing_keys default values')],
  ],
  'tenancy.job_types': [
    [
      '23505 job_types_pkey',
      plain('insert into tenancy.job_types (type, description) select type, type from tenancy.job_types limit 1'),
    ],
    ['23514 job_types_form', plain(`insert into tenancy.job_types (type, description) values ('No Type', '')`)],
    ['23514 job_types_max_attempts_range', plain('update tenancy.job_types set max_attempts = 0')],
    ['23514 job_types_max_result_bytes_range', plain('update tenancy.job_types set max_result_bytes = 1048577')],
  ],
  'tenancy.plans': [
    ['23505 plans_pkey', plain('insert into tenancy.plans select * from tenancy.plans limit 1')],
    ['23514 plans_job_concurrency_positive', plain('update tenancy.plans set job_concurrency = 0')],
    ['23514 plans_job_schedules_not_negative', plain('update tenancy.plans set job_schedules = -1')],
    ...EDGE_VALUES['tenancy.plans'],
    ...WEBHOOK_VALUES['tenancy.plans'],
  ],
  'tenancy.retired_ids': [
    ['23505 retired_ids_pkey', plain(`insert into tenancy.retired_ids (id) values ('t_prove_gone'), ('t_prove_gone')`)],
    ['23502', plain('insert into tenancy.retired_ids (id) values (null)')],
  ],
  'tenancy.tenants': [
    [
      '23505 tenants_pkey',
      (facts) => `insert into tenancy.tenants (id, slug, name) values ('${A(facts)}', 't-prove-other', 'Other')`,
    ],
    [
      '23505 tenants_slug_key',
      (facts) =>
        `insert into tenancy.tenants (id, slug, name) select 't_prove_other', slug, name from tenancy.tenants where id = '${A(facts)}'`,
    ],
    ['23502', plain(`insert into tenancy.tenants (id, slug, name) values (null, 't-prove-other', 'Other')`)],
    [
      '23514 tenant_id_form',
      plain(`insert into tenancy.tenants (id, slug, name) values ('T Other', 't-prove-other', 'Other')`),
    ],
    ['23503 tenants_tier_fkey', setTenant(`tier = 'none'`)],
    ['23514 tenants_name_length', setTenant(`name = ''`)],
    ['23514 tenants_slug_form', setTenant(`slug = 'No Label'`)],
    ['23514 tenants_region_form', setTenant(`region = 'No Region'`)],
    ['23514 tenants_status_known', setTenant(`status = 'other'`)],
  ],
  'tenancy.members': [
    ['23514 members_role_known', addMember('prove_new', 'root')],
    ['23514 members_user_id_length', addMember('', 'viewer')],
    ['23503 members_tenant_fkey', addMember('prove_new', 'viewer', 't_prove_nobody')],
  ],
  'app.files': [
    ...['', 'a/b', '\\x01'].map((name): Refusals[number] => ['23514 files_name_form', setFile(`name = E'${name}'`)]),
    ['23514 files_content_type_form', setFile(`content_type = 'text'`)],
    ['23514 files_size_not_negative', setFile('size = -1')],
    ['23514 files_sha256_form', setFile(`sha256 = 'A'`)],
    ['23514 files_kind_known', setFile(`kind = 'other', job_id = null`, 'stored')],
    ['23514 files_upload_has_no_job', setFile(`kind = 'report'`)],
    ['23514 files_status_known', setFile(`status = 'other', stored_at = null`, 'stored')],
    ['23514 files_stored_is_whole', setFile(`status = 'stored'`)],
    ['23503 files_job_fkey', setFile(`kind = 'report', job_id = '${NOBODYS}'`)],
  ],
  'app.job_findings': [
    ['23514 job_findings_severity_known', addFinding({ severity: `'other'` })],
    ['23514 job_findings_value_length', addFinding({ value: `repeat('x', 301)` })],
    ['23503 job_findings_job_fkey', addFinding({ job_id: `'${NOBODYS}'` })],
  ],
  'app.jobs': [
    ['23514 jobs_attempts_in_range', setJob('attempts = -1')],
    ['23514 jobs_finished_when_over', setJob('finished_at = now()')],
    ['23514 jobs_idempotency_key_length', setJob(`idempotency_key = ''`)],
    ['23514 jobs_input_is_an_object', setJob(`input = '[]'`)],
    ['23514 jobs_status_known', addJob('status', `'other'`)],
    ['23514 jobs_progress_bounded', setJob(`progress = to_jsonb(repeat('x', 8192))`)],
    ['23514 jobs_error_bounded', setJob(`error = to_jsonb(repeat('x', 16384))`)],
    ['23514 jobs_traceparent_form', setJob(`traceparent = '00-1-1-00'`)],
    ['23514 jobs_due_at_of_a_schedule', setJob('schedule_id = gen_random_uuid()')],
    [
      '23505',
      (facts) => {
        const due = `'${NOBODYS}', '2020-01-01'`;
        return `${addJob('schedule_id, due_at', `${due}), ('${A(facts)}', 'prove', 'csv.validate', ${due}`)(facts)}`;
      },
    ],
    [
      '23505',
      (facts) => `${addJob('idempotency_key', `'prove'), ('${A(facts)}', 'prove', 'csv.validate', 'prove'`)(facts)}`,
    ],
  ],
};

export const knownValues: ReadonlySet<string> = new Set([...Object.keys(REFUSED), 'tenancy.tenant_id']);

/** Row-level security is forced on their owner, without a policy that lets it in. */
const isForced = (table: string) =>
  /^(?:app|webhook)\./.test(table) || table === 'auth.idempotency_keys' || table === 'ledger.backlogs';

export const valueRules: Rule[] = Object.entries(REFUSED).flatMap(([about, refusals]) =>
  refusals.map(
    ([told, sql], nth): Rule => ({
      about,
      family: 'value',
      title: `it takes no row that breaks ${told.split(' ')[1] ?? 'what it is made of'}${refusals.slice(0, nth).some(([other]) => other === told) ? ` (${nth})` : ''}`,
      login: 'rowhouse_migrator',
      async check({ ok, refused, unforced, facts }) {
        if (about === 'auth.signing_keys') await ok('set local role rowhouse_sealer');
        const breaks = () => refused(told, sql(facts));
        await (isForced(about) ? unforced(about, breaks) : breaks());
      },
    }),
  ),
);
