import type { Acting, Rule } from './types.ts';

const ADD = 'insert into v1.members (user_id, role) values ($1, $2)';
const MOVE =
  'with moved as (update v1.members set role = $2 where user_id = $1 returning 1) select count(*)::int as rows from moved';
const REMOVE =
  'with removed as (delete from v1.members where user_id = $1 returning 1) select count(*)::int as rows from removed';
const ENTER = 'select auth.enter($1)';

/** What shows members the rows of a tenant: views over tables with a tenant, and over the tenant itself. */
const VIEWS = `select v.oid::regclass::text as name from pg_catalog.pg_class v join pg_catalog.pg_namespace n on n.oid = v.relnamespace
  where n.nspname ~ '^v[0-9]+$' and v.relkind in ('v', 'r', 'p') and has_table_privilege('tenant_user', v.oid, 'select')
    and exists (select from pg_catalog.pg_attribute a where a.attrelid = v.oid and a.atttypid = 'tenancy.tenant_id'::regtype)
  order by 1`;

const rule = (title: string, check: Rule['check'], more: Partial<Rule> = {}): Rule => ({
  about: 'tenancy.members',
  family: 'role',
  title,
  login: 'authenticator',
  check,
  ...more,
});

const subject = ({ facts }: Acting, role: string) => facts.world.subject('A', role);
const token = ({ facts }: Acting) => facts.world.tokens.get('A_member');
const asOwner = { login: 'rowhouse_migrator' } as const;
const touches = async (acting: Acting, rows: number, sql: string, values: unknown[]) =>
  acting.same(await acting.ok(sql, values), [{ rows }], `rows that it touched: ${sql}`);

/** Who of a tenant may do what with its members. */
export const memberRules: Rule[] = [
  ...['viewer', 'member'].map((role) =>
    rule(`a ${role} manages no members`, async (acting) => {
      await acting.aside(async () => {
        await acting.enter('A_admin', 'tenant_user');
        await acting.ok(ADD, ['prove_new', 'viewer']);
        await touches(acting, 1, MOVE, ['prove_new', 'member']);
        await touches(acting, 1, REMOVE, ['prove_new']);
      });
      await acting.enter(`A_${role}`, 'tenant_user');
      await acting.refused('42501', ADD, ['prove_new', 'viewer']);
      await touches(acting, 0, MOVE, [subject(acting, 'viewer'), 'member']);
      await touches(acting, 0, REMOVE, [subject(acting, 'viewer')]);
    }),
  ),
  rule('an admin makes nobody owner, and no owner anything else', async (acting) => {
    await acting.aside(async () => {
      await acting.enter('A_owner', 'tenant_user');
      await acting.ok(ADD, ['prove_new', 'owner']);
      await touches(acting, 1, MOVE, [subject(acting, 'admin'), 'owner']);
      await touches(acting, 1, MOVE, ['prove_new', 'member']);
      await touches(acting, 1, REMOVE, [subject(acting, 'admin')]);
    });
    await acting.enter('A_admin', 'tenant_user');
    await acting.refused('42501', ADD, ['prove_new', 'owner']);
    await acting.refused('42501', MOVE, [subject(acting, 'member'), 'owner']);
    await touches(acting, 0, MOVE, [subject(acting, 'owner'), 'member']);
    await touches(acting, 0, REMOVE, [subject(acting, 'owner')]);
  }),
  rule(
    'the last owner can neither leave nor step down',
    async (acting) => {
      const told = 'owner_required: the last owner cannot leave or step down';
      await acting.enter('A_owner', 'tenant_user');
      // What the tenant was filled with may hold others.
      await acting.ok(`delete from v1.members where role = 'owner' and user_id <> $1`, [subject(acting, 'owner')]);
      await acting.refused(told, MOVE, [subject(acting, 'owner'), 'admin']);
      await acting.refused(told, REMOVE, [subject(acting, 'owner')]);
      await acting.ok(ADD, ['prove_new', 'owner']);
      await touches(acting, 1, MOVE, [subject(acting, 'owner'), 'admin']);
    },
    { family: 'state' },
  ),
  rule(
    'owners are changed in no older snapshot',
    ({ refused, facts }) =>
      refused('25001', `delete from tenancy.members where tenant_id = $1 and role = 'owner'`, [facts.world.tenants.A]),
    { ...asOwner, family: 'state', isolation: 'repeatable read' },
  ),
  rule(
    'who was removed is refused at once',
    async (acting) => {
      await acting.aside(() => acting.enter('A_member'));
      await acting.ok('delete from tenancy.members where user_id = $1', [subject(acting, 'member')]);
      await acting.refused('membership_required', ENTER, [token(acting)]);
    },
    { about: 'auth.enter(text)', ...asOwner },
  ),
  rule(
    'a suspended tenant is refused at once, and nobody else',
    async (acting) => {
      const { A, B } = acting.facts.world.tenants;
      await acting.ok('select tenancy.suspend_tenant($1)', [A]);
      await acting.refused('tenant_suspended', ENTER, [token(acting)]);
      await acting.aside(() => acting.enter('B_owner'));
      acting.same(
        await acting.ok('select status from tenancy.tenants where id = $1', [B]),
        [{ status: 'active' }],
        'the other tenant',
      );
      await acting.ok('select tenancy.resume_tenant($1)', [A]);
      await acting.enter('A_member');
    },
    { about: 'auth.enter(text)', ...asOwner },
  ),
  ...['files', 'jobs'].map((name) =>
    rule(
      `a viewer writes no ${name}`,
      async (acting) => {
        const add =
          name === 'files'
            ? `insert into v1.files (name, size) values ('prove', 1)`
            : `insert into v1.jobs (type) values ('csv.validate')`;
        const all = (verb: string) => `with touched as (${verb} returning 1) select count(*) > 0 as some from touched`;
        const wipe = all(`delete from app.${name}`);
        const verbs = name === 'files' ? [all(`update app.files set name = name`), wipe] : [wipe];
        for (const sql of verbs) {
          await acting.aside(async () => {
            await acting.enter('A_member', 'tenant_user');
            await acting.ok(add);
            acting.same(await acting.ok(sql), [{ some: true }], `a member may: ${sql}`);
          });
        }
        await acting.enter('A_viewer', 'tenant_user');
        await acting.refused('42501', add);
        for (const sql of verbs) acting.same(await acting.ok(sql), [{ some: false }], `rows that it touched: ${sql}`);
      },
      { about: `app.${name}` },
    ),
  ),
  rule(
    "a service's token shows nothing to the role of members",
    async (acting) => {
      const { ok, same, aside, enter } = acting;
      const shown: string[] = [];
      await aside(async () => {
        await enter('A_viewer', 'tenant_user');
        for (const { name } of await ok<{ name: string }>(VIEWS)) {
          const [{ some } = { some: false }] = await ok<{ some: boolean }>(
            `select exists (select from ${name}) as some`,
          );
          if (some) shown.push(name);
        }
        same(shown.includes('v1.files') && shown.includes('v1.tenant'), true, 'a viewer sees files and the tenant');
      });
      await acting.serve();
      await ok('set local role tenant_user');
      for (const name of shown)
        same(
          await ok(`select exists (select from ${name}) as some`),
          [{ some: false }],
          `a service sees rows of ${name}`,
        );
    },
    { about: 'auth.issue_service_token(text,text,interval)', login: 'rowhouse_edge' },
  ),
];
