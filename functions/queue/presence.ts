import type { ClientBase } from 'pg';

/**
 * Which types some worker runs: locks of its session. They end with the worker, however it ends, and leave no dead row behind, as a
 * heartbeat in tenancy.job_types would while a snapshot is held.
 */

/** SQL of the key of the type that `type` is an expression for: 21066 and 48 bits, beside the ledger's 21071 and the webhooks' 21079. */
const keyOf = (type: string) => `((21066::bigint << 48) | (hashtextextended(${type}, 0) & ((1::bigint << 48) - 1)))`;

/** For as long as this session lasts; to be called once in it. */
export async function announceTypes(client: ClientBase, types: readonly string[]): Promise<void> {
  await client.query(`select pg_advisory_lock_shared(${keyOf('type')}) from unnest($1::text[]) as type`, [types]);
}

/** SQL of how many workers run the type that `type` is an expression for. */
export const workersOf = (type: string) => `(
  select count(*)::int from pg_catalog.pg_locks as l
  where l.locktype = 'advisory' and l.objsubid = 1 and l.granted and (l.classid::bigint << 32 | l.objid::bigint) = ${keyOf(type)}
    and l.database = (select oid from pg_catalog.pg_database where datname = current_database()))`;
