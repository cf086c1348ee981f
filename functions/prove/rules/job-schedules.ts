import type { Refusals, Rule, RuleFacts } from './types.ts';

const rule = (about: string, title: string, check: Rule['check'], login: Rule['login'] = 'authenticator'): Rule => ({
  about,
  family: 'state',
  title,
  login,
  check,
});

const SCHEDULE = 'insert into v1.job_schedules (name, type, cron, time_zone) values ($1, $2, $3, $4) returning id';
const NOBODYS = '00000000-0000-4000-8000-000000000000';
const nightly = (name: string) => [name, 'csv.validate', '30 2 * * mon-fri', 'Europe/Berlin'];

const add = (columns: string, values: string) => (facts: RuleFacts) =>
  `insert into app.job_schedules (tenant_id, created_by, type, cron, ${columns})
   values ('${facts.world.tenants.A}', 'prove', 'csv.validate', '@daily', ${values})`;

const change = (set: string, { world }: RuleFacts) =>
  `update app.job_schedules set ${set} where tenant_id = '${world.tenants.A}'`;

export const SCHEDULE_VALUES = {
  'app.job_schedules': [
    ['23514 job_schedules_name_length', add('name', `''`)],
    ['23514 job_schedules_input_is_an_object', add('name, input', `'prove', '[]'`)],
    ['23514 job_schedules_jitter_range', add('name, jitter_seconds', `'prove', 3601`)],
    [
      '23514 job_schedules_due_when_enabled',
      (facts) => `${change('enabled = false', facts)}; ${change('next_run_at = now()', facts)}`,
    ],
    [
      '23505',
      (facts) =>
        `${add('name', `'prove'), ('${facts.world.tenants.A}', 'prove', 'csv.validate', '@daily', 'prove'`)(facts)}`,
    ],
  ],
} satisfies Record<string, Refusals>;

/** Which schedules there can be, and who sees when they are due. */
export const jobScheduleRules: Rule[] = [
  rule('app.job_schedules', 'a schedule has a time that comes, a zone and a type', async ({ enter, ok, refused }) => {
    await enter('A_member', 'tenant_user');
    await ok(SCHEDULE, nightly('prove'));
    const told = 'job_schedule_invalid: cron: the minute is not one: 60';
    await refused(told, SCHEDULE, ['other', 'csv.validate', '60 * * * *', 'UTC']);
    await refused(told, `update v1.job_schedules set cron = '60 * * * *' where name = 'prove'`);
    await refused('job_schedule_invalid: cron: no month 2 has a day 30', SCHEDULE, [
      'other',
      'csv.validate',
      '0 0 30 2 *',
      'UTC',
    ]);
    await refused('job_schedule_invalid: time_zone: no zone is called Foo+5', SCHEDULE, [
      'other',
      'csv.validate',
      '@daily',
      'Foo+5',
    ]);
    await refused('job_type_unknown: no worker handles prove.nothing', SCHEDULE, [
      'other',
      'prove.nothing',
      '@daily',
      'UTC',
    ]);
  }),
  rule(
    'app.check_schedule_quota()',
    'a tenant has as many schedules as its plan says',
    async ({ enter, ok, refused }) => {
      await enter('A_member', 'tenant_user');
      const many = (name: string, count: number) =>
        `insert into v1.job_schedules (name, type, cron) select '${name} ' || n, 'csv.validate', '@daily' from generate_series(1, ${count}) as n`;
      await refused('quota_exceeded', many('prove', 501));
      await ok(SCHEDULE, nightly('prove'));
    },
  ),
  rule(
    'app.job_schedules',
    'the quota counts the schedules of the sealed tenant, and changes none',
    async ({ enter, ok, refused }) => {
      await enter('A_owner');
      await ok('select count(*) from app.job_schedules');
      const insert = `insert into app.job_schedules (name, type, cron) values ('prove', 'csv.validate', '@daily')`;
      await refused('42501', insert);
    },
    'rowhouse_migrator',
  ),
  rule(
    'app.guard_job()',
    'a result is no larger than its type allows',
    async ({ serve, ok, refused, facts }) => {
      await serve();
      const finish = `select app.finish_job($1, 1, 'succeeded', to_jsonb(repeat('x', $2)), null)`;
      await refused('job_result_too_large', finish, [facts.rows.running, 262_143]);
      await ok(finish, [facts.rows.running, 262_142]);
    },
    'rowhouse_worker',
  ),
  rule(
    'ledger.due_schedules(integer)',
    'a schedule is due when its time has come',
    async ({ ok, same, serve, facts }) => {
      await serve();
      // Until a worker gives it its next time, it is due.
      await ok('update app.job_schedules set enabled = true');
      const [later, ...waiting] = await ok<{ id: string }>('select id from app.job_schedules order by id');
      await ok(`update app.job_schedules set next_run_at = now() + interval '1 hour' where id = $1`, [later?.id]);
      same(waiting.length > 0, true, 'one more waits');
      const due = await ok<{ id: string }>(
        'select schedule_id as id from ledger.due_schedules(1000) where tenant_id = $1 order by 1',
        [facts.world.tenants.A],
      );
      same(due, waiting, 'what is due');
    },
    'rowhouse_worker',
  ),
  rule(
    'app.run_schedule(uuid,timestamptz,timestamptz,timestamptz)',
    'a schedule that is not there submits nothing',
    async ({ serve, ok, same }) => {
      await serve();
      same(
        await ok('select app.run_schedule($1, now(), now(), now()) as job', [NOBODYS]),
        [{ job: null }],
        'the job of no schedule',
      );
    },
    'rowhouse_worker',
  ),
];
