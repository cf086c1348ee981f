import type { Rule } from './types.ts';

const rule = (about: string, title: string, check: Rule['check'], login: Rule['login'] = 'rowhouse_worker'): Rule => ({
  about,
  family: 'state',
  title,
  login,
  check,
});

const NOBODY = 'P0002 no consumer prove_nobody of the ledger';
/** Gives back what it takes, with the cursors where they are. */
const TAKE = `select ledger.advance('jobs', array_agg(slot), array_agg(0::bigint)) from (
  select distinct slot from ledger.take('jobs', 16, 1)) as taken having count(*) > 0`;

/** How workers follow the ledger. What two sessions do to each other is tested elsewhere (test/sql/dispatch.test.ts). */
export const ledgerRules: Rule[] = [
  rule(
    'ledger.take(text,integer,integer)',
    'there is no consumer but those that were made',
    async ({ ok, refused }) => {
      await ok(TAKE);
      await refused(NOBODY, `select ledger.take('prove_nobody', 1, 1)`);
    },
  ),
  rule(
    'ledger.entries',
    'its functions append entries of operations that there are, to the slot of their tenant',
    async ({ ok, refused, facts }) => {
      const append = (operation: string, away = 0) =>
        `insert into ledger.entries (tenant_id, slot, table_name, operation, row_id)
         select id, (ledger.slot(id) + ${away}) % 16, 'prove', '${operation}', 'x' from (values ('${facts.world.tenants.A}')) as tenant (id)`;
      for (const operation of ['insert', 'update', 'delete', 'emit']) await ok(append(operation));
      await refused('42501', append('other'));
      await refused('42501', append('insert', 1));
    },
    'rowhouse_migrator',
  ),
  rule('ledger.take_backlogs(text,integer,integer)', 'nobody is set aside who has little', async ({ ok, same }) =>
    same(await ok(`select * from ledger.take_backlogs('jobs', 4, 1)`), [], 'what was set aside'),
  ),
  rule(
    'ledger.advance(text,smallint[],bigint[])',
    'a cursor is moved by the session that has taken its slot',
    async ({ ok, refused }) => {
      await ok(TAKE);
      await refused("55P03 slot 0 of jobs is not this session's", `select ledger.advance('jobs', '{0}', '{0}')`);
    },
  ),
  rule(
    'ledger.rewind(text,bigint)',
    'the cursors of a consumer that there is are moved back, and never forward',
    async ({ ok, same, refused }) => {
      const rewind = (consumer: string) => `select ledger.rewind('${consumer}', ${2n ** 63n - 1n}) as moved`;
      same(await ok(rewind('jobs')), [{ moved: 0 }], 'the cursors that were moved');
      await refused(NOBODY, rewind('prove_nobody'));
    },
    'rowhouse_migrator',
  ),
  rule(
    'ledger.keep_marks()',
    'marks are of this database once they are kept, and nothing is set back then',
    async ({ ok, same }) => {
      await ok('select from ledger.keep_marks()');
      same(await ok('select * from ledger.keep_marks()'), [], 'what was set back');
    },
  ),
  rule('webhook.skip_entries()', 'no entry is passed by where a worker has had a key', async ({ ok, same }) => {
    const at = `select slot, "position" from ledger.lag() where consumer = 'webhooks' order by slot`;
    const before = await ok(at);
    await ok('select webhook.skip_entries()');
    same(await ok(at), before, 'where the consumer is');
  }),
  rule(
    'ledger.add_event_source(regclass,regclass,text,text[])',
    'a view that does not show each row makes events for those alone who are named',
    async ({ ok, refused }) => {
      const add = (role: string) => `select ledger.add_event_source('auth.api_keys', 'v1.api_keys'${role})`;
      await ok(add(", 'admin'"));
      await refused('42P16 v1.api_keys does not show each row of auth.api_keys, and its events would', add(''));
    },
    'rowhouse_migrator',
  ),
  rule(
    'ledger.add_event_source(regclass,regclass,text,text[])',
    'a view that leaves rows out makes events for whom it is said, and for nobody else',
    async ({ ok, refused }) => {
      await ok('create view v1.prove_some with (security_invoker = true) as select * from app.files where size > 0');
      const add = (more = '') => `select ledger.add_event_source('app.files', 'v1.prove_some'${more})`;
      await ok(add(`, read_role => 'owner'`));
      await refused('42P16 v1.prove_some does not show each row of app.files, and its events would', add());
    },
    'rowhouse_migrator',
  ),
];
