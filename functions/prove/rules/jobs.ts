import type { Acting, Rule } from './types.ts';

const rule = (about: string, title: string, check: Rule['check'], login: Rule['login'] = 'authenticator'): Rule => ({
  about,
  family: 'state',
  title,
  login,
  check,
});

const SUBMIT = 'insert into v1.jobs (type, input, idempotency_key) values ($1, $2, $3) returning id';
const NOBODYS = '00000000-0000-4000-8000-000000000000';
const STATUSES = `select id, status from v1.jobs where type = 'csv.validate' and idempotency_key like 'prove-%' order by idempotency_key`;

async function submit({ ok }: Acting, key: string): Promise<string> {
  const [job] = await ok<{ id: string }>(SUBMIT, ['csv.validate', '{}', key]);
  return job?.id ?? '';
}

/** Which way members move jobs. */
export const jobRules: Rule[] = [
  rule('app.jobs', 'a job has a type that workers handle', async (acting) => {
    await acting.enter('A_member', 'tenant_user');
    await submit(acting, 'prove-1');
    await acting.refused('job_type_unknown: no worker handles prove.nothing', SUBMIT, [
      'prove.nothing',
      '{}',
      'prove-2',
    ]);
  }),
  rule('v1.jobs', 'a repeated idempotency key answers with the first job, or is refused', async (acting) => {
    await acting.enter('A_member', 'tenant_user');
    const first = await submit(acting, 'prove-1');
    acting.same(await submit(acting, 'prove-1'), first, 'the job of a repeated request');
    const told = 'idempotency_conflict: the first job with this key has another type, input or time';
    await acting.refused(told, SUBMIT, ['csv.validate', '{"other":true}', 'prove-1']);
    const timed = `insert into v1.jobs (type, input, idempotency_key, start_after) values ($1, $2, $3, now()) returning id`;
    await acting.refused(told, timed, ['csv.validate', '{}', 'prove-1']);
  }),
  rule('app.guard_job()', 'a job is for now or for a time of the next year', async ({ enter, ok, refused, same }) => {
    const later = (time: string) =>
      `insert into app.jobs (type, start_after) values ('csv.validate', ${time}) returning id`;
    const told = 'request_invalid: start_after is a time, at most a year ahead';
    await enter('A_member', 'tenant_user');
    for (const time of ['null', 'now()', `now() + interval '364 days'`])
      same((await ok(later(time))).length, 1, `the jobs of ${time}`);
    for (const time of [`now() + interval '367 days'`, `'infinity'`, `'-infinity'`]) await refused(told, later(time));
  }),
  rule('app.jobs', 'a job carries on the trace of the request that submits it', async ({ enter, ok, same }) => {
    await enter('A_member', 'tenant_user');
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    await ok(`select set_config('request.headers', $1, true)`, [JSON.stringify({ traceparent })]);
    const [job] = await ok(`insert into app.jobs (type) values ('csv.validate') returning traceparent`);
    same(job, { traceparent }, 'its trace');
  }),
  rule(
    'app.submit_job()',
    'a job is submitted for the sealed tenant alone',
    async ({ enter, ok, refused, facts }) => {
      const { A, B } = facts.world.tenants;
      const named = `insert into v1.jobs (tenant_id, type, input) values ($1, 'csv.validate', '{}')`;
      await enter('A_owner');
      await ok(named, [A]);
      await refused('tenant_mismatch: tenant_id names another tenant', named, [B]);
    },
    'rowhouse_migrator',
  ),
  rule(
    'app.move_job(uuid,text,text[])',
    'one job is cancelled and queued again, the one that is named',
    async (acting) => {
      const { ok, same, enter, refused } = acting;
      await enter('A_member', 'tenant_user');
      const [one, other] = [await submit(acting, 'prove-1'), await submit(acting, 'prove-2')];
      same(
        await ok('select id, status from v1.cancel_job($1)', [one]),
        [{ id: one, status: 'cancelled' }],
        'the cancelled job',
      );
      same(
        await ok(STATUSES),
        [
          { id: one, status: 'cancelled' },
          { id: other, status: 'queued' },
        ],
        'the jobs',
      );
      await refused('job_transition: a job that is cancelled cannot become cancelled', 'select v1.cancel_job($1)', [
        one,
      ]);
      await refused('job_transition: a job that is queued cannot become queued', 'select v1.retry_job($1)', [other]);
      await refused('job_not_found', 'select v1.cancel_job($1)', [NOBODYS]);
      await ok('select v1.cancel_job($1)', [other]);
      same(
        await ok('select id, status from v1.retry_job($1)', [other]),
        [{ id: other, status: 'queued' }],
        'the job that is tried again',
      );
      same(
        await ok(STATUSES),
        [
          { id: one, status: 'cancelled' },
          { id: other, status: 'queued' },
        ],
        'the jobs',
      );
    },
  ),
  rule(
    'app.move_job(uuid,text,text[])',
    'a job is tried again as often as its own type says',
    async ({ enter, ok, same }) => {
      const types = { 'prove.one': 5, 'prove.other': 9 };
      await ok(
        `insert into tenancy.job_types (type, description, max_attempts) select key, '', value::integer from jsonb_each_text($1)`,
        [types],
      );
      await enter('A_member');
      for (const [type, most] of Object.entries(types)) {
        const [job] = await ok<{ id: string }>('insert into v1.jobs (type) values ($1) returning id', [type]);
        await ok('select v1.cancel_job($1)', [job?.id]);
        same(
          await ok('select type, max_attempts from v1.retry_job($1)', [job?.id]),
          [{ type, max_attempts: most }],
          'its attempts',
        );
      }
    },
    'rowhouse_migrator',
  ),
  // Its owner's policy says the same, and would hide the other tenant's job whatever the function asks.
  ...(['A', 'B'] as const).map((own) =>
    rule(
      'app.move_job(uuid,text,text[])',
      `where no policy says whose a job is, the job of the sealed tenant is moved: ${own}'s`,
      async ({ enter, ok, same, unforced, facts }) => {
        const { [own]: mine, [own === 'A' ? 'B' : 'A']: others } = facts.world.tenants;
        await enter(`${own}_owner`);
        await unforced('app.jobs', async () => {
          await ok(
            `insert into app.jobs (tenant_id, id, type, status, created_by)
             values ($1, $3, 'csv.validate', 'queued', 'prove'), ($2, $3, 'csv.validate', 'running', 'prove')`,
            [mine, others, NOBODYS],
          );
          await ok(`select app.move_job($1, 'cancelled', '{queued}')`, [NOBODYS]);
          same(
            await ok('select tenant_id, status from app.jobs where id = $1 order by status', [NOBODYS]),
            [
              { tenant_id: mine, status: 'cancelled' },
              { tenant_id: others, status: 'running' },
            ],
            'the jobs of one id',
          );
        });
      },
      'rowhouse_migrator',
    ),
  ),
  rule('app.move_job(uuid,text,text[])', 'a viewer moves no job', async ({ enter, refused, facts }) => {
    await enter('A_viewer', 'tenant_user');
    await refused('role_insufficient: a viewer reads', 'select v1.cancel_job($1)', [facts.rows.queued]);
  }),
  rule('app.move_job(uuid,text,text[])', 'without a token nobody moves a job', async ({ ok, refused, facts }) => {
    await ok('set local role tenant_user');
    await refused('role_insufficient: a viewer reads', 'select v1.cancel_job($1)', [facts.rows.queued]);
  }),
];
