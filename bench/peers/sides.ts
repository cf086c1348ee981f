import type { Pool } from '../../functions/database.ts';
import { socketDirectory } from '../../functions/stack/postgres.ts';
import { stateDirectory } from '../../functions/stack/state.ts';
import type { BenchStack } from '../stack.ts';
import { createFlat } from './data/flat.ts';
import { apiKeys, issueTokens, type Tenant } from './data/rows.ts';
import { createSchemaPerTenant, SCHEMAS } from './data/schema-per-tenant.ts';
import { createSupabaseStyle } from './data/supabase-style.ts';
import { openService } from './services/fork.ts';
import type { Peer } from './services/peer.ts';
import { openPostgrest } from './services/postgrest.ts';
import type { Asked, Dialect } from './shapes.ts';

/** One way to the same answers; figures are called `vs_<name>`. */
export interface Side {
  name: string;
  title: string;
  dialect: Dialect;
  /** Its JSON is made in PostgreSQL: answers are compared to the byte. */
  jsonInPostgres: boolean;
  origin: string;
  pid: number;
  asked: readonly Asked[];
  /** Whose list nobody else asks for: what is added there is looked for. */
  probed: Asked;
}

/** Asked in turn. */
const ASKED = 20;
const KEYS = 5;

export interface SidesOptions {
  stack: BenchStack;
  tenants: readonly Tenant[];
  /** Whether PostGraphile and Prisma are there. */
  installed: boolean;
  progress(message: string): void;
  /** Told of each process, to be closed at the end. */
  opened(peer: Peer): void;
}

/** Starts every peer on its own tables, in the stack's PostgreSQL. The first side is the stack's PostgREST itself. */
export async function openSides({ stack, tenants, installed, progress, opened }: SidesOptions): Promise<Side[]> {
  const { admin, directory, info } = stack;
  const adminUrl = info.database.admin;
  progress('the same rows for the peers');
  const flat = await createFlat(admin, adminUrl);
  const supabase = await createSupabaseStyle(admin, adminUrl);
  const perTenant = await createSchemaPerTenant(admin, adminUrl, tenants);
  const keys = await apiKeys(admin);
  const socket = overSocket(directory);
  const files = await someFiles(admin);
  const askedAs = (issued: readonly Tenant[], profile = false) => {
    const [probed, ...asked] = issued.slice(0, Math.min(ASKED + 1, SCHEMAS)).map(({ id, token }) => ({
      id,
      headers: {
        authorization: `Bearer ${token}`,
        ...(profile ? { 'accept-profile': id, 'content-profile': id } : {}),
      },
      files: files.get(id) ?? [],
    }));
    return { asked, probed: probed as Asked };
  };
  const ours = askedAs(tenants);
  const sides: Side[] = [
    {
      ...{ name: 'direct', title: 'PostgREST behind the wall', dialect: 'postgrest', jsonInPostgres: true, ...ours },
      ...{ origin: info.postgrest, pid: stack.pids().postgrest as number },
    },
  ];
  const add = async (name: string, title: string, dialect: Dialect, opening: Promise<Peer>, further: object = {}) => {
    progress(`starting ${title}`);
    const peer = await opening;
    opened(peer);
    const side = { ...{ name, title, dialect }, ...{ origin: peer.origin, pid: peer.pid } };
    sides.push({
      ...side,
      jsonInPostgres: name.endsWith('service_tuned') || dialect === 'postgrest',
      ...ours,
      ...further,
    });
  };

  const supabaseStyle = { schemas: ['supabase_style'], anonRole: 'supabase_anon', keys };
  const authenticated = askedAs(await issueTokens(admin, 'authenticated'));
  await add(
    ...(['supabase_style', 'Supabase-style', 'postgrest'] as const),
    openPostgrest(directory, { name: 'supabase', databaseUrl: supabase.url, ...supabaseStyle }),
    authenticated,
  );
  await add(
    ...(['supabase_style_tuned', 'Supabase-style, tuned', 'postgrest'] as const),
    openPostgrest(directory, {
      ...{ name: 'supabase-tuned', databaseUrl: socket(supabase.tunedUrl), ...supabaseStyle },
      ...{ settings: { 'db-pool': 6, 'log-level': 'warn' }, env: { GHCRTS: '-A64m' } },
    }),
    authenticated,
  );
  await add(
    ...(['schema_per_tenant', `schema per tenant (${perTenant.schemas.length})`, 'postgrest'] as const),
    openPostgrest(directory, {
      ...{ name: 'schema-per-tenant', databaseUrl: perTenant.url, schemas: perTenant.schemas },
      ...{ anonRole: 'schema_anon', keys },
    }),
    askedAs(await issueTokens(admin, '%s'), true),
  );
  const handWritten = [
    ['rls', 'fastify + pg, same wall', info.database.edge],
    ['claims', 'fastify + pg, RLS on claims', flat.claims],
    ['plain', 'fastify + pg, where tenant_id', flat.plain],
  ] as const;
  for (const [mode, title, url] of handWritten) {
    await add(`${mode}_service`, title, 'service', openService('hand-written.ts', mode, url, keys));
    const tuned = openService('hand-written.ts', `${mode}Tuned`, socket(url), keys);
    await add(`${mode}_service_tuned`, `${title}, tuned`, 'service', tuned);
  }
  if (installed) {
    await add('postgraphile', 'PostGraphile', 'graphql', openService('postgraphile.ts', '', flat.claims, keys));
    await add('prisma', 'fastify + Prisma', 'service', openService('prisma.ts', 'ordinary', flat.claims, keys));
    const tuned = openService('prisma.ts', 'tuned', socket(flat.claims), keys);
    await add('prisma_tuned', 'fastify + Prisma, tuned', 'service', tuned);
  }
  return sides;
}

async function someFiles(admin: Pool): Promise<Map<string, string[]>> {
  const { rows } = await admin.query<{ tenant_id: string; files: string[] }>(
    `select tenant_id, (array_agg(id::text order by md5(id::text)))[:${KEYS}] as files from app.files group by tenant_id`,
  );
  return new Map(rows.map(({ tenant_id, files }) => [tenant_id, files]));
}

/** The same database over PostgreSQL's socket, as the stack's PostgREST has it. */
function overSocket(directory: string): (url: string) => string {
  const runDirectory = stateDirectory(directory).run;
  return (url) => {
    const { username, password, port, pathname } = new URL(url);
    const sockets = socketDirectory({ runDirectory, port: Number(port) });
    if (sockets === undefined) return url;
    return `postgresql://${username}:${password}@${pathname}?host=${encodeURIComponent(sockets)}&port=${port}`;
  };
}
