import type { Pool, PoolClient } from 'pg';
import { type Source, under } from './context.ts';
import type { Store } from './serve.ts';
import type { Caller } from './tokens.ts';

const FILE = 'id, name, size::int, status, created_at';
const NEWEST = 'order by created_at desc, id desc limit 20';

/** As one writes it: node-postgres as its guide has it, rows as objects, JSON by JavaScript. */
export function ordinaryStore(pool: Pool, { schema, context }: Source): Store {
  /** Where policies do not, the statement asks for the caller's tenant; its place among the values is the last. */
  const own = (place: number) => (context ? 'true' : `tenant_id = $${place}`);
  const values = (caller: Caller, ...given: unknown[]) => (context ? given : [...given, caller.claims.tenant_id]);

  const run = <T>(caller: Caller, readOnly: boolean, work: (client: Pool | PoolClient) => Promise<T>): Promise<T> =>
    context ? under(pool, context, { caller, named: false, readOnly }, work) : work(pool);

  return {
    newestFiles: (caller) =>
      run(caller, true, async (client) => {
        const text = `select ${FILE} from ${schema}.files where ${own(1)} ${NEWEST}`;
        return (await client.query(text, values(caller))).rows;
      }),
    file: (caller, id) =>
      run(caller, true, async (client) => {
        const text = `select ${FILE} from ${schema}.files where id = $1 and ${own(2)}`;
        return (await client.query(text, values(caller, id))).rows[0];
      }),
    jobs: (caller, status) =>
      run(caller, true, async (client) => {
        const { rows } = await client.query(
          `select id, type, status, created_at, (
             select coalesce(json_agg(finding), '[]') from (
               select ordinal, rule, severity, message from ${schema}.job_findings as finding
               where finding.tenant_id = job.tenant_id and finding.job_id = job.id order by ordinal) as finding
           ) as job_findings
           from ${schema}.jobs as job where status = $1 and ${own(2)} ${NEWEST}`,
          values(caller, status),
        );
        const { rows: counted } = await client.query(
          `select count(*)::int as count from ${schema}.jobs where status = $1 and ${own(2)}`,
          values(caller, status),
        );
        return { rows, count: counted[0].count };
      }),
    addFile: (caller, { name, content_type, size }) =>
      run(caller, false, (client) =>
        context
          ? client.query(`insert into ${schema}.files (name, content_type, size) values ($1, $2, $3)`, [
              ...[name, content_type, size],
            ])
          : client.query(
              `insert into ${schema}.files (name, content_type, size, tenant_id, created_by) values ($1, $2, $3, $4, $5)`,
              [name, content_type, size, caller.claims.tenant_id, caller.claims.sub],
            ),
      ),
  };
}
