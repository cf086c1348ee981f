import type { Acting, Rule } from './types.ts';

const rule = (about: string, title: string, check: Rule['check'], login: Rule['login'] = 'authenticator'): Rule => ({
  about,
  family: 'directory',
  title,
  login,
  check,
});

const OPERATORS = [
  [
    'admin.create_tenant(text,text,text,text,text,text)',
    `select admin.create_tenant('t_prove_new', 't-prove-new', 'New', 'prove')`,
  ],
  ['admin.suspend_tenant(text)', 'select admin.suspend_tenant($1)'],
  ['admin.resume_tenant(text)', 'select admin.resume_tenant($1)'],
  ['admin.set_tenant_settings(text,jsonb)', `select admin.set_tenant_settings($1, '{}')`],
  ['admin.pause_job_type(text)', `select admin.pause_job_type('csv.validate')`],
  ['admin.resume_job_type(text)', `select admin.resume_job_type('csv.validate')`],
  [
    'admin.redrive_jobs(uuid[],text,text,boolean,integer,boolean)',
    'select admin.redrive_jobs(every => true, dry_run => true)',
  ],
  ['tenancy.directory()', 'select from tenancy.directory()'],
  ['admin.dead_letters()', 'select admin.dead_letters()'],
] as const;

const create = (id: string, slug = id.replaceAll('_', '-'), more = '') =>
  `select tenancy.create_tenant('${id}', '${slug}', 'New', 'prove'${more})`;

const valuesOf = ({ facts }: Acting, sql: string) => (sql.includes('$1') ? [facts.world.tenants.C] : []);

export const directoryRules: Rule[] = [
  ...OPERATORS.map(([about, sql]) =>
    rule(about, 'it is for those whose token says operator, whatever role they took', async (acting) => {
      await acting.aside(async () => {
        await acting.enter('operator', 'operator');
        await acting.ok(sql, valuesOf(acting, sql));
      });
      const told = 'role_insufficient: only an operator keeps the directory';
      await acting.aside(async () => {
        await acting.ok('set local role operator');
        await acting.refused(told, sql, valuesOf(acting, sql));
      });
      await acting.enter('A_owner', 'operator');
      await acting.refused(told, sql, valuesOf(acting, sql));
    }),
  ),
  rule(
    'admin.suspend_tenant(text)',
    'one tenant is suspended and let in again, the one that is named',
    async ({ enter, ok, same, refused, facts }) => {
      const { A, B, C } = facts.world.tenants;
      await enter('operator', 'operator');
      const statuses = `select status from admin.tenants where id in ('${A}', '${B}', '${C}') order by id`;
      const all = (c: string) => ['active', 'active', c].map((status) => ({ status }));
      await ok('select admin.suspend_tenant($1)', [C]);
      same(await ok(statuses), all('suspended'), 'the tenants');
      await ok('select admin.resume_tenant($1)', [C]);
      same(await ok(statuses), all('active'), 'the tenants');
      await refused('tenant_unknown: no tenant t_prove_nobody', `select admin.suspend_tenant('t_prove_nobody')`);
    },
  ),
  rule(
    'tenancy.create_tenant(text,text,text,text,text,text)',
    'an id is given once, and is valid',
    async ({ ok, refused, facts }) => {
      const { C } = facts.world.tenants;
      await ok(create('t_prove_new'));
      await refused(`tenant_exists: id ${C} or slug t-prove-other is taken`, create(C, 't-prove-other'));
      await refused(
        'tenant_exists: id t_prove_other or slug t-prove-new is taken',
        create('t_prove_other', 't-prove-new'),
      );
      await ok(`delete from tenancy.tenants where id = 't_prove_new'`);
      await refused("tenant_exists: id t_prove_new was a tenant's and is not given again", create('t_prove_new'));
      await ok(create('t_prove_another'));
      await refused('tenant_invalid: tenants_slug_form does not hold', create('t_prove_other', 'No Label'));
      await refused(
        'tenant_invalid: tenants_tier_fkey does not hold',
        create('t_prove_other', 't-prove-other', `, 'none'`),
      );
    },
    'rowhouse_migrator',
  ),
  rule('v1.tenant', 'a tenant sees itself, and nobody else', async ({ enter, ok, same, facts }) => {
    await enter('A_viewer', 'tenant_user');
    same(await ok('select id from v1.tenant'), [{ id: facts.world.tenants.A }], 'the tenants that it sees');
  }),
  rule('v1.tenant', 'its owner renames a tenant, and nobody else does', async ({ enter, ok, refused, aside, same }) => {
    const rename = `update v1.tenant set name = 'Prove renamed'`;
    await aside(async () => {
      await enter('A_owner', 'tenant_user');
      await ok(rename);
      same(await ok('select name from v1.tenant'), [{ name: 'Prove renamed' }], 'its name');
    });
    await enter('A_admin', 'tenant_user');
    await refused('role_insufficient: only an owner renames the tenant', rename);
  }),
  rule(
    'v1.explain_access(text,text,jsonb,jsonb)',
    'an admin asks why, and nobody below',
    async ({ enter, ok, refused, aside }) => {
      const ask = `select v1.explain_access('GET', 'files')`;
      await aside(async () => {
        await enter('A_admin', 'tenant_user');
        await ok(ask);
      });
      await enter('A_member', 'tenant_user');
      await refused('role_insufficient: only an admin or owner of the tenant asks why', ask);
    },
  ),
];
