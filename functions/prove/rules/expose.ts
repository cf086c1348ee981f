import { COLUMNS, KEY, table } from './protect.ts';
import type { Acting, Rule } from './types.ts';

const TABLE = 'app.prove_protected';
const VIEW = 'v1.prove_protected';

const make = ({ ok }: Acting) => ok(table(`${COLUMNS}, note text, state text, created_at timestamptz, ${KEY}`));
const protect = ({ ok }: Acting, more: string) =>
  ok(`select tenancy.protect('${TABLE}', partitions => 2, expose => true${more})`);

const writable = (verb: 'insert' | 'update') => `array(select attname::text from pg_attribute
  where attrelid = name::regclass and attnum > 0 and has_column_privilege('tenant_user', attrelid, attnum, '${verb}') order by attnum)`;
const GRANTED = `select name, has_table_privilege('tenant_user', name, 'select') as select, ${writable('insert')} as insert,
  ${writable('update')} as update, has_table_privilege('tenant_user', name, 'delete') as delete from unnest($1::text[]) as name`;
const OPTIONS = 'select reloptions as options from pg_class where oid = to_regclass($1)';
const SOURCES = 'select relation::text, columns, least_role from ledger.sources where name = $1';

/** What members may do, in the view and in the table beneath: to grant one of the two is as good as nothing, or too much. */
async function granted({ ok, same }: Acting, wanted: { insert: string[]; update: string[]; delete: boolean }) {
  const both = [VIEW, TABLE].map((name) => ({ name, select: true, ...wanted }));
  same(await ok(GRANTED, [[VIEW, TABLE]]), both, 'what members may do');
}

const rule = (title: string, check: Rule['check']): Rule => ({
  about: 'tenancy.expose(regclass,text[],text[])',
  family: 'protect',
  title,
  login: 'rowhouse_migrator',
  check,
});

/** What a table has in v1, once that was asked for. */
export const exposeRules: Rule[] = [
  rule('an exposed table is read with its reader’s rights, and written as was said', async (acting) => {
    const { ok, same } = acting;
    await make(acting);
    await protect(acting, '');
    same(await ok(OPTIONS, [VIEW]), [{ options: ['security_invoker=true'] }], 'with whose rights it is read');
    const theirs = ['tenant_id', 'id', 'note', 'state'];
    await granted(acting, { insert: theirs, update: theirs, delete: true });
    await protect(acting, `, client_verbs => '{insert}', server_columns => '{state}'`);
    await granted(acting, { insert: ['tenant_id', 'id', 'note'], update: [], delete: false });
    await protect(acting, `, client_verbs => '{update,delete}', server_columns => '{id,note}'`);
    await granted(acting, { insert: [], update: ['tenant_id', 'state'], delete: true });
  }),
  rule('an exposed table makes events, of its columns and for its readers', async (acting) => {
    const { ok, same } = acting;
    await make(acting);
    await protect(acting, `, read_role => 'admin', write_role => 'admin'`);
    const columns = ['tenant_id', 'id', 'note', 'state', 'created_at'];
    same(await ok(SOURCES, [TABLE]), [{ relation: TABLE, columns, least_role: 'admin' }], 'whose events there are');
  }),
  rule('a table that is not exposed has no view, and one without a ledger no events', async (acting) => {
    const { ok, same } = acting;
    await make(acting);
    await ok(`select tenancy.protect('${TABLE}', partitions => 2, ledger => false)`);
    same(await ok(OPTIONS, [VIEW]), [], 'the view of what is not exposed');
    await protect(acting, ', ledger => false');
    await ok(`select from ${VIEW}`);
    same(await ok(SOURCES, [TABLE]), [], 'whose events there are');
  }),
];
