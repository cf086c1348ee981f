import type { Acting, Rule, Writable } from './types.ts';
import { WEBHOOK_TABLES, WEBHOOKS_BY_MEMBERS } from './webhook-values.ts';

const FILE = ['tenant_id', 'id', 'name', 'content_type', 'size', 'sha256'];
const MEMBER = ['tenant_id', 'user_id', 'role'];
const JOB: Writable = { insert: ['type', 'input', 'idempotency_key', 'start_after'], delete: true };
const SCHEDULE = ['tenant_id', 'name', 'type', 'input', 'cron', 'time_zone', 'jitter_seconds', 'enabled'];

/** What members may write; everything else is the server's. Said here and not read from the grants: grants are what is on trial. */
const BY_MEMBERS: Readonly<Record<string, Writable>> = {
  'v1.files': { insert: FILE, update: ['name'], delete: true },
  'app.files': { insert: FILE, update: ['name'], delete: true },
  'v1.jobs': JOB,
  'app.jobs': JOB,
  'v1.job_schedules': { insert: SCHEDULE, update: SCHEDULE, delete: true },
  'app.job_schedules': { insert: SCHEDULE, update: SCHEDULE, delete: true },
  ...WEBHOOKS_BY_MEMBERS,
  'v1.job_findings': {},
  'app.job_findings': {},
  'v1.members': { insert: MEMBER, update: MEMBER, delete: true },
  'tenancy.members': { insert: MEMBER, update: MEMBER, delete: true },
  'ledger.backlogs': { select: false },
  'v1.tenant': { update: ['name'], impossible: ['insert', 'delete'] },
};

/** One row of what says who wrote it. */
const ONE_OF = {
  'app.files': `(name, size) values ('prove', 1)`,
  'app.jobs': `(type) values ('csv.validate')`,
  'app.job_schedules': `(name, type, cron) values ('prove', 'csv.validate', '@daily')`,
};

/** What services reach through functions alone. */
const OF_FUNCTIONS: Readonly<Record<string, Writable>> = Object.fromEntries(
  [
    'tenancy.tenant_settings',
    'tenancy.domains',
    'tenancy.pools',
    'metering.edges',
    'metering.rate_buckets',
    'auth.idempotency_keys',
    ...WEBHOOK_TABLES,
    'ledger.entries',
    'ledger.consumers',
    'ledger.backlogs',
    'ledger.event_sources',
    'ledger.past_event_schemas',
  ].map((table) => [table, { select: false }]),
);

/** The same of the services, in the tables themselves, and what they read. */
const BY_SERVICES: Readonly<Record<string, Readonly<Record<string, Writable>>>> = {
  rowhouse_worker: {
    'app.files': {
      select: true,
      insert: ['name', 'content_type', 'size', 'kind', 'job_id'],
      update: ['name', 'size', 'sha256', 'status', 'stored_at'],
    },
    'app.jobs': {
      select: true,
      insert: ['type', 'input', 'schedule_id', 'due_at'],
      update: [
        'status',
        'attempts',
        'max_attempts',
        'progress',
        'result',
        'error',
        'queued_at',
        'started_at',
        'finished_at',
      ],
    },
    'app.job_schedules': {
      select: true,
      update: ['enabled', 'next_run_at', 'last_run_at', 'last_job_id', 'error'],
    },
    'app.job_findings': {
      select: true,
      insert: ['job_id', 'ordinal', 'row', 'column_name', 'rule', 'severity', 'message', 'value', 'repaired'],
      delete: true,
    },
    'tenancy.job_types': {
      select: true,
      insert: ['type', 'description', 'max_attempts', 'max_result_bytes'],
      update: ['description', 'registered_at', 'max_attempts', 'max_result_bytes', 'paused_at'],
    },
    'tenancy.members': { select: false },
    ...OF_FUNCTIONS,
  },
  rowhouse_edge: {
    'app.files': { select: true, update: ['size', 'sha256', 'status', 'stored_at'] },
    'app.jobs': { select: true },
    'app.job_findings': { select: false },
    'app.job_schedules': { select: false },
    'tenancy.members': { select: false },
    ...OF_FUNCTIONS,
  },
};

/** Relations whose columns and values are the reference schema's own, so that it can be said what they must be. */
export const knownRelations: ReadonlySet<string> = new Set(Object.keys(BY_MEMBERS));

const THE_RELATION = `(select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname || '.' || c.relname = $1)`;
/** Its schema may be closed, so that nothing can be asked of the relation itself. */
const HELD = `select has_any_column_privilege(t, 'select') as select, has_any_column_privilege(t, 'insert') as insert,
  has_any_column_privilege(t, 'update') as update, has_table_privilege(t, 'delete') as delete from ${THE_RELATION} as r (t)`;
const COLUMNS = `select attname as name, quote_ident(attname) as quoted from pg_catalog.pg_attribute
  where attrelid = ${THE_RELATION} and attnum > 0 and not attisdropped and attgenerated = '' order by attnum`;

/** No row is needed to learn what may be written: privileges are asked for before any is looked at. */
async function writesOnly(acting: Acting, relation: string, writable: Writable): Promise<void> {
  const { ok, refused } = acting;
  const columns = await ok<{ name: string; quoted: string }>(COLUMNS, [relation]);
  const statement = (verb: 'insert' | 'update', column: string) =>
    verb === 'insert'
      ? `insert into ${relation} (${column}) select null where false`
      : `update ${relation} set ${column} = null where false`;
  const judge = (allowed: boolean, verb: string, sql: string, computed = false) => {
    const told = writable.impossible?.includes(verb) ? '55000' : computed ? '0A000' : '42501';
    return allowed ? ok(sql) : refused(told, sql);
  };
  for (const { name, quoted } of columns)
    for (const verb of ['insert', 'update'] as const)
      await judge(
        writable[verb]?.includes(name) ?? false,
        verb,
        statement(verb, quoted),
        writable.computed?.includes(name),
      );
  if (writable.select !== undefined) {
    const { select, insert = [], update = [], delete: deletes = false } = writable;
    const held = { select, insert: insert.length > 0, update: update.length > 0, delete: deletes };
    acting.same(await ok(HELD, [relation]), [held], 'what it may do at all');
  }
  await judge(writable.delete ?? false, 'delete', `delete from ${relation} where false`);
}

export const columnRules: Rule[] = [
  ...Object.entries(BY_MEMBERS).map(
    ([relation, writable]): Rule => ({
      about: relation,
      family: 'column',
      title: 'members write the columns that are theirs, and no other',
      login: 'authenticator',
      async check(acting) {
        await acting.enter('A_owner', 'tenant_user');
        await writesOnly(acting, relation, writable);
      },
    }),
  ),
  ...(['rowhouse_worker', 'rowhouse_edge'] as const).flatMap((login) =>
    Object.entries(BY_SERVICES[login] ?? {}).map(
      ([relation, writable]): Rule => ({
        about: relation,
        family: 'column',
        title: 'a service reads and writes what is its own, and nothing else',
        login,
        async check(acting) {
          await acting.serve();
          await writesOnly(acting, relation, writable);
        },
      }),
    ),
  ),
  ...Object.entries(ONE_OF).map(
    ([relation, set]): Rule => ({
      about: relation,
      family: 'column',
      title: 'what is written says who wrote it',
      login: 'authenticator',
      async check({ enter, ok, same, facts }) {
        await enter('A_member', 'tenant_user');
        const [written] = await ok(`insert into ${relation} ${set} returning tenant_id, created_by`);
        const { tenants, subject } = facts.world;
        same(written, { tenant_id: tenants.A, created_by: subject('A', 'member') }, 'who it says');
      },
    }),
  ),
];
