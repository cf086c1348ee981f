import type { Pool } from '../../../functions/database.ts';
import { createLogin } from './login.ts';
import { BENCH_TENANTS } from './rows.ts';

/** Logins of services that answer from these tables. */
export interface FlatUrls {
  /** May become peer_user, who is under policies. */
  claims: string;
  /** Sees every tenant's rows: the service asks for one's. */
  plain: string;
}

/** What policies compare with, as in most guides to row-level security: the claims that the service has put into the transaction. */
const claim = (name: string) => `nullif(current_setting('request.jwt.claims', true), '')::json ->> '${name}'`;

/**
 * The rows of the wall in the schema `peer`: tables that are not partitioned, with the indexes that the questions need, under ordinary
 * policies over the claims of the token. No gate, no ledger, no quotas.
 */
export async function createFlat(admin: Pool, adminUrl: string): Promise<FlatUrls> {
  const claims = await createLogin(admin, adminUrl, 'peer');
  const plain = await createLogin(admin, adminUrl, 'peer_plain', 'bypassrls');
  const copy = (table: string) =>
    `create table peer.${table} as select * from app.${table} where tenant_id ${BENCH_TENANTS};
     alter table peer.${table} enable row level security, alter tenant_id type text, alter tenant_id set default peer.tenant_id(), alter tenant_id set not null;
     create policy "Members read their tenant's" on peer.${table} for select to peer_user
       using (tenant_id = (select peer.tenant_id()));`;
  await admin.query(`
    create schema peer;
    create role peer_user nologin;
    grant peer_user to peer;
    create function peer.tenant_id() returns text language sql stable return ${claim('tenant_id')};
    create function peer.subject() returns text language sql stable return ${claim('sub')};
    ${['files', 'jobs', 'job_findings'].map(copy).join('\n')}
    create policy "Members add to their tenant's" on peer.files for insert to peer_user
      with check (tenant_id = (select peer.tenant_id()));
    alter table peer.files add primary key (tenant_id, id), alter id set default uuidv7(), alter kind set default 'upload',
      alter status set default 'pending', alter created_by set default peer.subject(),
      alter created_at set default now(), alter updated_at set default now();
    create index on peer.files (tenant_id, created_at desc, id desc);
    alter table peer.jobs add primary key (tenant_id, id);
    create index on peer.jobs (tenant_id, created_at desc, id desc);
    alter table peer.job_findings add primary key (tenant_id, job_id, ordinal),
      add foreign key (tenant_id, job_id) references peer.jobs (tenant_id, id);
    grant usage on schema peer to peer_user, peer, peer_plain;
    grant select on all tables in schema peer to peer_user, peer_plain;
    grant insert on peer.files to peer_user, peer_plain;
    analyze`);
  return { claims, plain };
}
