import { createPool, type Pool } from '../../functions/database.ts';
import { openPostgrest } from '../peers/services/postgrest.ts';
import type { BenchStack } from '../stack.ts';
import { apply, createVersions, type Pace } from './migration.ts';
import { AUTHENTICATOR, createSchema } from './schema.ts';
import { ASKED, FILES, firstAnswer, NEWEST, type Side } from './side.ts';

const DATABASE = 'schema_per_tenant';
const nameOf = (nth: number) => `s_bench_${String(nth).padStart(5, '0')}`;

/**
 * A schema for each tenant, in a database of its own on the same server, so that its catalogue burdens nobody else's. PostgREST learns
 * of schemas by its pre-config function, as its documentation has it for schemas that come and go.
 */
export async function openSchemaPerTenant(
  stack: BenchStack,
  tenants: number,
  { closing, progress }: { closing: (() => Promise<unknown>)[]; progress(message: string): void },
): Promise<Side> {
  await stack.admin.query(`create database ${DATABASE}`);
  const urls = urlsOf(stack);
  const pool = createPool(urls.admin, 'bench', 3);
  closing.push(() => pool.end());
  await createCatalogue(pool, urls.password);
  await createVersions(pool);
  for (let nth = 1; nth <= tenants; nth++) {
    await pool.query(
      `begin; set local synchronous_commit = off; ${createSchema(nameOf(nth))} ${fill(nameOf(nth))} commit`,
    );
    if (nth % 250 === 0) progress(`${nth} schemas`);
  }
  await pool.query('vacuum (analyze)');
  progress('PostgREST reads them');
  const { rows } = await stack.admin.query<{ keys: string }>('select auth.api_keyset()::text as keys');
  const { origin, close } = await openPostgrest(stack.directory, {
    ...{ name: DATABASE, databaseUrl: urls.authenticator, schemas: ['catalogue'], anonRole: 'schema_anon' },
    ...{ keys: rows[0]?.keys ?? '', env: { GHCRTS: '-A64m' } },
    settings: { 'db-pre-config': 'catalogue.pre_config', 'db-pool': 6 },
  });
  closing.push(close);
  const headers = async (schema: string) => ({
    ...{ authorization: `Bearer ${await tokenOf(stack.admin, schema)}`, 'accept-profile': schema },
  });
  await firstAnswer(origin, await headers(nameOf(1)));
  const asked = await Promise.all(Array.from({ length: ASKED }, (_, nth) => headers(nameOf(nth + 2))));
  let made = tenants;
  const addColumn = async (name: string, pace: Pace = 'one by one') => {
    const client = await pool.connect();
    try {
      for (let nth = 1; nth <= tenants; nth++) {
        const statements = [`alter table files add column ${name} text`];
        await apply(client, { schema: nameOf(nth), version: name, statements }, pace);
      }
    } finally {
      client.release();
    }
  };

  return {
    ...{ name: 'schema_per_tenant', title: 'a schema for each tenant', origin },
    requests: asked.map((one) => ({ path: NEWEST, headers: one })),

    async createTenant() {
      const schema = nameOf(++made);
      const own = await headers(schema);
      const began = performance.now();
      await pool.query(
        `begin; ${createSchema(schema)} notify pgrst, 'reload config'; notify pgrst, 'reload schema'; commit`,
      );
      const madeMs = performance.now() - began;
      await firstAnswer(origin, own);
      return { madeMs, usableMs: performance.now() - began };
    },

    addColumn,
    addColumnToApi: (name) => addColumn(name),

    async holdTransaction() {
      const client = await pool.connect();
      await client.query(`begin; select count(*) from ${nameOf(1)}.files`);
      return async () => {
        await client.query('commit');
        client.release();
      };
    },
  };
}

function urlsOf(stack: BenchStack) {
  const admin = new URL(stack.info.database.admin);
  admin.pathname = `/${DATABASE}`;
  const authenticator = new URL(admin);
  const password = crypto.randomUUID().replaceAll('-', '');
  authenticator.username = AUTHENTICATOR;
  authenticator.password = password;
  return { admin: admin.href, authenticator: authenticator.href, password };
}

/** Tokens are those of the stack, for other roles. */
const createCatalogue = (pool: Pool, password: string) =>
  pool.query(`
    create role ${AUTHENTICATOR} login noinherit password '${password}';
    create role schema_anon nologin;
    grant schema_anon to ${AUTHENTICATOR};
    create schema catalogue;
    grant usage on schema catalogue to ${AUTHENTICATOR};
    create function catalogue.pre_config() returns void language sql as $$
      select set_config('pgrst.db_schemas', coalesce(string_agg(nspname, ',' order by nspname), 'catalogue'), true)
      from pg_catalog.pg_namespace where nspname like 's\\_bench\\_%'
    $$`);

const fill = (schema: string) => `
  insert into ${schema}.files (name, content_type, size, created_at)
    select 'file-' || m || '.csv', 'text/csv', m * 1000, now() - m * interval '1 minute' from generate_series(1, ${FILES}) as m;`;

async function tokenOf(admin: Pool, schema: string): Promise<string> {
  const { rows } = await admin.query<{ token: string }>(
    `select auth.issue_token('t_' || $1, 'bench', 'owner', '12 hours', $1) as token`,
    [schema],
  );
  return rows[0]?.token ?? '';
}
