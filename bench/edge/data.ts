import type { Pool } from '../../functions/database.ts';

export interface Tenant {
  id: string;
  token: string;
}

export interface DataOptions {
  tenants: number;
  rowsPerTenant: number;
}

const id = (nth: string) => `'t_bench_' || lpad(${nth}::text, 5, '0')`;

/** Limits are not the question: rates and places that are never reached. */
const UNLIMITED = `update tenancy.plans set read_rate = 1e6, read_burst = 1e6, write_rate = 1e6, write_burst = 1e6,
  expensive_rate = 1e6, expensive_burst = 1e6, request_concurrency = 256, queue_length = 256`;

/**
 * Tenants with files, and for the hand-written services the same rows in a table of their own: not partitioned, with the one index
 * that the question needs, under an ordinary policy over the claims of the token.
 * @param admin of the superuser; triggers and policies do not see what is inserted here
 */
export async function fillTables(admin: Pool, { tenants, rowsPerTenant }: DataOptions): Promise<Tenant[]> {
  await admin.query(`
    set session_replication_role = replica;
    insert into tenancy.tenants (id, slug, name, tier)
      select ${id('n')}, 'bench-' || n, 'Bench ' || n, 'enterprise' from generate_series(1, ${tenants}) as n;
    insert into tenancy.members (tenant_id, user_id, role)
      select ${id('n')}, 'bench', 'owner' from generate_series(1, ${tenants}) as n;
    insert into app.files (tenant_id, name, content_type, size, created_by, created_at)
      select ${id('n')}, 'file-' || m || '.csv', 'text/csv', m * 1000, 'bench', now() - m * interval '1 minute'
      from generate_series(1, ${tenants}) as n, generate_series(1, ${rowsPerTenant}) as m;
    set session_replication_role = origin;
    ${UNLIMITED};
    create schema peer;
    create table peer.files as select * from app.files where tenant_id like 't\\_bench\\_%';
    create index on peer.files (tenant_id, created_at desc, id desc);
    create function peer.tenant_id() returns text language sql stable
      return nullif(current_setting('request.jwt.claims', true), '')::json ->> 'tenant_id';
    create role peer_user nologin;
    create role peer login noinherit;
    grant peer_user to peer;
    grant usage on schema peer to peer_user, peer;
    grant select on peer.files to peer_user;
    alter table peer.files enable row level security;
    create policy "Members read their tenant's files" on peer.files for select to peer_user
      using (tenant_id = (select peer.tenant_id()));
    create view peer.all_files as select * from peer.files;
    grant select on peer.all_files to peer;
    analyze`);
  const { rows } = await admin.query<Tenant>(`
    select id, auth.issue_token(id, 'bench', 'owner', '12 hours') as token from tenancy.tenants
    where id like 't\\_bench\\_%' order by id`);
  return rows;
}

/** The login of the hand-written services. */
export async function peerUrl(admin: Pool, adminUrl: string): Promise<string> {
  const url = new URL(adminUrl);
  const password = crypto.randomUUID().replaceAll('-', '');
  await admin.query(`alter role peer password '${password}'; grant connect on database rowhouse to peer`);
  url.username = 'peer';
  url.password = password;
  return url.href;
}

/** What PostgREST and the gate check tokens with, for services that check them themselves. */
export async function apiKeys(admin: Pool): Promise<string> {
  const { rows } = await admin.query<{ keys: string }>('select auth.api_keyset()::text as keys');
  return rows[0]?.keys ?? '';
}
