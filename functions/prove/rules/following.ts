import type { Rule } from './types.ts';

/** What edges keep in memory and the ledger does not hold. */
const FOLLOWED = {
  'tenancy.tenants': 'name = name',
  'tenancy.plans': 'description = description',
  'tenancy.domains': 'host = host',
  'tenancy.pools': 'url = url',
  'auth.operators': 'subject = subject',
  'auth.signing_keys': 'status = status',
};

const rule = (about: string, title: string, check: Rule['check'], login: Rule['login']): Rule => ({
  about,
  family: 'directory',
  title,
  login,
  check,
});

/** How edges learn of changes: what they keep may be older than no commit. */
export const followingRules: Rule[] = [
  ...Object.entries(FOLLOWED).map(([about, set]) =>
    rule(
      about,
      'followers are told that it has changed',
      async ({ ok, same }) => {
        const noted = `select count(*)::integer as times from tenancy.directory_changes
          where transaction_id = pg_current_xact_id() and table_name = '${about}'`;
        const [{ times } = { times: 0 }] = await ok<{ times: number }>(noted);
        if (about === 'auth.signing_keys') await ok('set local role rowhouse_sealer');
        // Of no row: it is told by statement.
        await ok(`update ${about} set ${set} where false`);
        await ok('set local role rowhouse_owner');
        same(await ok(noted), [{ times: times + 1 }], 'how often it was told');
      },
      'rowhouse_migrator',
    ),
  ),
  rule(
    'ledger.changes_after(pg_snapshot)',
    'the edge is told which tables have changed, and reads no entries',
    async ({ ok, same, serve, refused }) => {
      const [first] = await ok(
        `select snapshot is not null as snapshot, tenant_id, table_name from ledger.changes_after(
          (select format('%s:%s:', last, last)::pg_snapshot
           from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1 as last) as now))`,
      );
      same(first, { snapshot: true, tenant_id: null, table_name: null }, 'its first row');
      await serve();
      await refused('42501', 'select from ledger.entries');
    },
    'rowhouse_edge',
  ),
];
