import { createPool, type Pool } from '../../functions/database.ts';
import type { BenchStack } from '../stack.ts';
import { apply, createVersions, type Pace } from './migration.ts';
import { ASKED, FILES, firstAnswer, NEWEST, type Side } from './side.ts';

const id = (nth: string) => `'t_bench_' || lpad(${nth}::text, 5, '0')`;

/** Tenants with files in the stack's own tables. */
export async function openRowhouse(
  stack: BenchStack,
  tenants: number,
  closing: (() => Promise<unknown>)[],
): Promise<Side> {
  const { admin, info } = stack;
  const migrator = createPool(info.database.migrator, 'bench', 2);
  closing.push(() => migrator.end());
  await createVersions(migrator);
  await fill(admin, tenants);
  const { rows: issued } = await admin.query<{ token: string }>(
    `select auth.issue_token(${id('n')}, 'bench', 'owner', '12 hours') as token from generate_series(2, ${ASKED + 1}) as n`,
  );
  const { rows: operators } = await admin.query<{ token: string }>(
    `select auth.issue_token(null, 'bench', null, '12 hours', 'operator') as token`,
  );
  let made = tenants;
  const migrate = async (version: string, statements: readonly string[], pace: Pace = 'one by one') => {
    const client = await migrator.connect();
    const patient = [`set local lock_timeout = '3s'`, ...statements];
    try {
      await apply(client, { schema: 'app', version, statements: patient }, pace);
    } finally {
      client.release();
    }
  };

  return {
    ...{ name: 'rowhouse', title: 'Rowhouse: rows', origin: info.postgrest },
    requests: issued.map(({ token }) => ({ path: NEWEST, headers: { authorization: `Bearer ${token}` } })),

    async createTenant() {
      const tenant = `t_bench_${++made}`;
      const { rows } = await admin.query<{ token: string }>(
        `select auth.issue_token($1, 'bench', 'owner', '1 hour') as token`,
        [tenant],
      );
      const began = performance.now();
      const answer = await fetch(`${info.postgrest}/rpc/create_tenant`, {
        method: 'POST',
        headers: {
          ...{ authorization: `Bearer ${operators[0]?.token}`, 'content-profile': 'admin' },
          'content-type': 'application/json',
        },
        body: JSON.stringify({ id: tenant, slug: `bench-${made}`, name: 'Bench', owner: 'bench' }),
      });
      const body = await answer.text();
      if (!answer.ok) throw new Error(`create_tenant answered ${answer.status}: ${body}`);
      const madeMs = performance.now() - began;
      await firstAnswer(info.postgrest, { authorization: `Bearer ${rows[0]?.token}` });
      return { madeMs, usableMs: performance.now() - began };
    },

    addColumn: (name, pace) => migrate(name, [`alter table files add column ${name} text`], pace),

    // Readers lock the view before the table; a migration that did it the other way round would deadlock with them. The view's columns are
    // the table's, in their order.
    addColumnToApi: (name) =>
      migrate(name, [
        'lock table v1.files in access exclusive mode',
        `alter table files add column ${name} text`,
        'create or replace view v1.files with (security_invoker = true) as select * from files',
      ]),

    async holdTransaction() {
      const client = await admin.connect();
      await client.query(`begin; select count(*) from app.files where tenant_id = ${id('1')}`);
      return async () => {
        await client.query('commit');
        client.release();
      };
    },
  };
}

/** As the superuser: triggers and policies do not see what is inserted here. */
async function fill(admin: Pool, tenants: number): Promise<void> {
  await admin.query(`
    set session_replication_role = replica;
    insert into tenancy.tenants (id, slug, name)
      select ${id('n')}, 'bench-' || n, 'Bench ' || n from generate_series(1, ${tenants}) as n;
    insert into tenancy.members (tenant_id, user_id, role)
      select ${id('n')}, 'bench', 'owner' from generate_series(1, ${tenants}) as n;
    insert into app.files (tenant_id, name, content_type, size, created_by, created_at)
      select ${id('n')}, 'file-' || m || '.csv', 'text/csv', m * 1000, 'bench', now() - m * interval '1 minute'
      from generate_series(1, ${tenants}) as n, generate_series(1, ${FILES}) as m;
    insert into auth.operators (subject) values ('bench');
    set session_replication_role = origin`);
  await admin.query('vacuum (analyze)');
}
