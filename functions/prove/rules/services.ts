import type { Rule } from './types.ts';

const rule = (about: string, title: string, check: Rule['check'], login: Rule['login']): Rule => ({
  about,
  family: 'state',
  title,
  login,
  check,
});

const NOBODYS = '00000000-0000-4000-8000-000000000000';

/** What an attempt does for its job. */
const LEASED = {
  'app.require_lease(uuid,integer)': 'select app.require_lease($1, $2)',
  'app.report_progress(uuid,integer,jsonb)': `select app.report_progress($1, $2, '{}')`,
  'app.create_output_file(uuid,integer,text,text,text)': `select app.create_output_file($1, $2, 'report', 'prove', 'text/csv')`,
  'app.record_findings(uuid,integer,jsonb)': `select app.record_findings($1, $2, '[]')`,
};

/** What services do with jobs, files and the ledger. */
export const serviceRules: Rule[] = [
  rule(
    'app.guard_job()',
    "a job's status moves one way",
    async (acting) => {
      await acting.serve();
      const end = `update app.jobs set status = 'succeeded', finished_at = now() where id = $1`;
      await acting.refused('job_transition: a job that is queued cannot become succeeded', end, [
        acting.facts.rows.queued,
      ]);
      await acting.ok(end, [acting.facts.rows.running]);
      await acting.refused(
        'job_transition: a job that is succeeded cannot become running',
        `update app.jobs set status = 'running', finished_at = null where id = $1`,
        [acting.facts.rows.running],
      );
    },
    'rowhouse_worker',
  ),
  ...Object.entries(LEASED).map(([about, sql]) =>
    rule(
      about,
      'only the attempt that runs a job writes for it',
      async (acting) => {
        const { ok, refused, facts } = acting;
        await acting.serve();
        await acting.aside(async () => void (await ok(sql, [facts.rows.running, 1])));
        await refused('lease_lost: attempt 2 is over', sql, [facts.rows.running, 2]);
        await refused('job_not_found', sql, [NOBODYS, 1]);
        await ok(`select app.finish_job($1, 1, 'succeeded', null, null)`, [facts.rows.running]);
        await refused('lease_lost: attempt 1 is over', sql, [facts.rows.running, 1]);
      },
      'rowhouse_worker',
    ),
  ),
  rule(
    'tenancy.set_job_type_pause(text,boolean)',
    'a type is paused and resumed, the one that is named',
    async ({ ok, same, refused }) => {
      await ok(`insert into tenancy.job_types (type, description) values ('prove.one', ''), ('prove.other', '')`);
      const paused = `select type from tenancy.job_types where type like 'prove.%' and paused_at is not null`;
      await ok(`select tenancy.set_job_type_pause('prove.one', true)`);
      same(await ok(paused), [{ type: 'prove.one' }], 'what is paused');
      await ok(`select tenancy.set_job_type_pause('prove.one', false)`);
      same(await ok(paused), [], 'what is paused');
      const told = 'job_type_unknown: no worker has registered prove.nothing';
      await refused(told, `select tenancy.set_job_type_pause('prove.nothing', true)`);
    },
    'rowhouse_worker',
  ),
  rule(
    'app.mark_file_stored(uuid,bigint,text)',
    'a file is stored once, and with the bytes that were announced',
    async (acting) => {
      const { ok, refused, facts } = acting;
      await acting.serve();
      const mark = 'select app.mark_file_stored($1, 3, $2)';
      const [right, wrong] = ['a'.repeat(64), 'b'.repeat(64)];
      await acting.aside(async () => void (await ok(mark, [facts.rows.pending, right])));
      await refused('upload_checksum', mark, [facts.rows.pending, wrong]);
      await refused('file_exists', mark, [facts.rows.stored, right]);
      await refused('file_not_found', mark, [NOBODYS, right]);
    },
    'rowhouse_edge',
  ),
  {
    ...rule(
      'ledger.take(text,integer,integer)',
      'the ledger is read in no older snapshot',
      ({ refused }) => refused('25001', `select ledger.take('jobs', 1, 1)`),
      'rowhouse_worker',
    ),
    isolation: 'repeatable read',
  },
  rule(
    'ledger.doze(text)',
    'a worker sleeps, and wakes',
    async ({ ok, same }) => {
      const [{ asleep } = { asleep: false }] = await ok<{ asleep: boolean }>(`select ledger.doze('jobs') as asleep`);
      // Its lock is the session's: no rollback gives it back.
      const [awake] = await ok('select ledger.rouse() as awake');
      same(awake, { awake: asleep }, 'whether there was a lock to give back');
    },
    'rowhouse_worker',
  ),
];
