import { type Pool, transaction } from '../../database.ts';

/** Brings materialized views up to date with what was filled or removed, so that one that shows every tenant is caught doing so. */
export async function refreshMaterializedViews(pool: Pool): Promise<void> {
  await transaction(pool, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `select oid::regclass::text as name from pg_class where relkind = 'm' and pg_has_role(relowner, 'usage') order by oid`,
    );
    for (const { name } of rows) await client.query(`refresh materialized view ${name}`);
  });
}
