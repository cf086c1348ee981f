import type { Client, Pool } from '../../functions/database.ts';
import type { Recorded } from '../plans/recorder.ts';
import { median } from '../statistics.ts';
import type { Side } from './sides.ts';
import type { Tenant } from './tables.ts';

/** What PostgreSQL does for the statement of one side, in a session like PostgREST's that has run it before. */
export interface Profile {
  plan: string;
  /** To check the cached plan and lock its tables: every partition, pruned or not. */
  planMs: number;
  executeMs: number;
  /** Relation locks of the transaction at its end, the gate's included. */
  locks: number;
  /** Of these, in the shared lock table: those that the backend's own fast path has no place for. */
  sharedLocks: number;
}

const TIMES = 51;

/** @param recorded the statement as PostgREST ran it; each run is a transaction of its own, as there */
export async function profileOf(admin: Pool, side: Side, tenant: Tenant, recorded: Recorded): Promise<Profile> {
  const client = await admin.connect();
  try {
    await client.query('set plan_cache_mode = force_generic_plan');
    await enter(client, side, tenant);
    await client.query(`prepare wall as ${recorded.text}; commit`);
    const values = recorded.values.map((value) => (value === null ? 'null' : client.escapeLiteral(value)));
    const explain = async (options: string) => {
      await enter(client, side, tenant);
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(
        `explain (${options}) execute wall${values.length > 0 ? `(${values.join(', ')})` : ''}`,
      );
      const { rows: held } = await client.query<{ locks: number; shared: number }>(
        `select count(*)::int as locks, (count(*) filter (where not fastpath))::int as shared
         from pg_locks where pid = pg_backend_pid() and locktype = 'relation' and relation <> 'pg_locks'::regclass`,
      );
      await client.query('commit');
      return { lines: rows.map((row) => row['QUERY PLAN']), held: held[0] };
    };
    const planning: number[] = [];
    const execution: number[] = [];
    for (let nth = 0; nth < TIMES; nth++) {
      const { lines } = await explain('analyze, timing off, buffers off');
      planning.push(timeIn(lines, 'Planning Time'));
      execution.push(timeIn(lines, 'Execution Time'));
    }
    const { lines, held } = await explain('analyze, buffers');
    const { locks = 0, shared = 0 } = held ?? {};
    return {
      plan: lines.join('\n'),
      planMs: median(planning),
      executeMs: median(execution),
      locks,
      sharedLocks: shared,
    };
  } finally {
    client.release(true); // With what was prepared and set.
  }
}

async function enter(client: Client, side: Side, tenant: Tenant): Promise<void> {
  const claims = JSON.stringify({ tenant_id: tenant.id, role: 'tenant_user' });
  await client.query('begin');
  await client.query("select set_config('request.jwt.claims', $1, true)", [claims]);
  if (side.gated) await client.query('select auth.enter($1)', [tenant.token]);
  await client.query('set local role tenant_user');
}

const timeIn = (lines: readonly string[], name: string) =>
  Number(new RegExp(`^${name}: ([\\d.]+) ms`).exec(lines.find((line) => line.startsWith(name)) ?? '')?.[1]);
