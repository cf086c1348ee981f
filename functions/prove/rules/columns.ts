import type { Acting, Rule } from './types.ts';

interface Writable {
  /** Where this is left open, reading is another rule's. */
  select?: boolean;
  insert?: readonly string[];
  update?: readonly string[];
  delete?: boolean;
  /** Verbs that the view cannot do for anyone: that is what is said of them first. */
  impossible?: readonly string[];
}

const FILE = ['tenant_id', 'id', 'name', 'content_type', 'size', 'sha256'];
const MEMBER = ['tenant_id', 'user_id', 'role'];
const JOB: Writable = { insert: ['type', 'input', 'idempotency_key'], delete: true };

/** What members may write; everything else is the server's. Said here and not read from the grants: grants are what is on trial. */
const BY_MEMBERS: Readonly<Record<string, Writable>> = {
  'v1.files': { insert: FILE, update: ['name'], delete: true },
  'app.files': { insert: FILE, update: ['name'], delete: true },
  'v1.jobs': JOB,
  'app.jobs': JOB,
  'v1.job_findings': {},
  'app.job_findings': {},
  'v1.members': { insert: MEMBER, update: MEMBER, delete: true },
  'tenancy.members': { insert: MEMBER, update: MEMBER, delete: true },
  'v1.tenant': { update: ['name'], impossible: ['insert', 'delete'] },
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
      update: ['status', 'attempts', 'progress', 'result', 'error', 'queued_at', 'started_at', 'finished_at'],
    },
    'app.job_findings': {
      select: true,
      insert: ['job_id', 'ordinal', 'row', 'column_name', 'rule', 'severity', 'message', 'value', 'repaired'],
      delete: true,
    },
    'tenancy.job_types': { select: true, insert: ['type', 'description'], update: ['description', 'registered_at'] },
    'tenancy.members': { select: false },
    'ledger.entries': { select: false },
    ...OF_FUNCTIONS,
  },
  rowhouse_edge: {
    'app.files': { select: true, update: ['size', 'sha256', 'status', 'stored_at'] },
    'app.jobs': { select: true },
    'app.job_findings': { select: false },
    'tenancy.members': { select: false },
    'ledger.entries': { select: false },
    ...OF_FUNCTIONS,
  },
};

/** Relations whose columns and values are the reference schema's own, so that it can be said what they must be. */
export const knownRelations: ReadonlySet<string> = new Set(Object.keys(BY_MEMBERS));

const THE_RELATION = `(select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname || '.' || c.relname = $1)`;
/** Its schema may be closed, so that nothing can be asked of the relation itself. */
const READABLE = `select has_any_column_privilege(${THE_RELATION}, 'select') as select`;
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
  const judge = (allowed: boolean, verb: string, sql: string) =>
    allowed ? ok(sql) : refused(writable.impossible?.includes(verb) ? '55000' : '42501', sql);
  for (const { name, quoted } of columns)
    for (const verb of ['insert', 'update'] as const)
      await judge(writable[verb]?.includes(name) ?? false, verb, statement(verb, quoted));
  if (writable.select !== undefined)
    acting.same(await ok(READABLE, [relation]), [{ select: writable.select }], 'whether it may read');
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
  ...['app.files', 'app.jobs'].map(
    (relation): Rule => ({
      about: relation,
      family: 'column',
      title: 'what is written says who wrote it',
      login: 'authenticator',
      async check({ enter, ok, same, facts }) {
        await enter('A_member', 'tenant_user');
        const set = relation === 'app.files' ? `(name, size) values ('prove', 1)` : `(type) values ('csv.validate')`;
        const [written] = await ok(`insert into ${relation} ${set} returning tenant_id, created_by`);
        const { tenants, subject } = facts.world;
        same(written, { tenant_id: tenants.A, created_by: subject('A', 'member') }, 'who it says');
      },
    }),
  ),
];
