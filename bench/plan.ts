import pg from 'pg';
import { type Pool, transaction } from '../functions/database.ts';

export interface PlanOptions {
  /** Sealed for its tenant; without one, the statement runs as the superuser. */
  token?: string;
  /** Default tenant_user. */
  role?: string;
  /** With $1, $2… for `values`, as PostgREST prepares it. */
  statement: string;
  values?: readonly unknown[];
  /** Default force_generic_plan, which db/roles.sql sets for PostgREST. */
  mode?: 'force_generic_plan' | 'force_custom_plan' | 'auto';
}

let prepared = 0;

/**
 * Runs the statement as the tenant does, through the wall, and rolls it back.
 * @returns a line that sums it up, and the plan as PostgreSQL writes it
 * @throws RowhouseError what the gate refuses, what PostgreSQL raises
 */
export async function planOf(admin: Pool, options: PlanOptions): Promise<string> {
  const { token, role = 'tenant_user', statement, values = [], mode = 'force_generic_plan' } = options;
  const undo = new Error('rolled back');
  // A prepared statement outlives its transaction, a failed one as well.
  const name = `bench_plan_${prepared++}`;
  let lines: string[] = [];
  try {
    await transaction(admin, async (client) => {
      await client.query("select set_config('plan_cache_mode', $1, true)", [mode]);
      if (token !== undefined) {
        await client.query('select auth.enter($1)', [token]);
        await client.query("select set_config('role', $1, true)", [role]);
      }
      await client.query(`prepare ${name} as ${statement}`);
      try {
        const list = values.length > 0 ? `(${values.map(literal).join(', ')})` : '';
        // The first run of a session reads catalogue pages and makes the generic plan; the second is what a pooled connection sees.
        for (let nth = 0; nth < 2; nth++) {
          const { rows } = await client.query<{ 'QUERY PLAN': string }>(
            `explain (analyze, buffers) execute ${name}${list}`,
          );
          lines = rows.map((row) => row['QUERY PLAN']);
        }
      } finally {
        await client.query(`deallocate ${name}`).catch(() => {});
      }
      throw undo;
    });
  } catch (error) {
    if (error !== undo) throw error;
  }
  return `${summaryOf(lines)}\n\n${lines.join('\n')}`;
}

const literal = (value: unknown) => (value === null || value === undefined ? 'null' : pg.escapeLiteral(String(value)));

function summaryOf(lines: readonly string[]): string {
  const time = (of: string) => lines.find((line) => line.startsWith(of))?.replace(`${of}: `, '') ?? '?';
  const buffers =
    /shared (.*?)(?:, local.*)?$/.exec(lines.find((line) => line.includes('Buffers: ')) ?? '')?.[1] ?? 'none';
  const scans = lines.flatMap((line) => {
    const [, scan, on] = /((?:Seq|Index|Index Only|Bitmap Heap|Tid) Scan(?: Backward)?).*? on (\S+)/.exec(line) ?? [];
    return scan && !line.includes('never executed') ? [`${scan} on ${on}`] : [];
  });
  const shown = [...new Set(scans)].slice(0, 4).join(', ') || 'no scan';
  return `${time('Execution Time')} to run, ${time('Planning Time')} to plan; buffers: ${buffers}; ${shown}`;
}
