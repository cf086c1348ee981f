import type { Pool } from '../../../functions/database.ts';
import { createLogin } from './login.ts';
import { BENCH_TENANTS } from './rows.ts';

const READ = `(tenant_id = (select supabase_auth.jwt() ->> 'tenant_id'))`;

/**
 * The same rows as Supabase's guides have one write them: keys of their own, `tenant_id` a column with an index, policies for the role
 * authenticated over auth.jwt(), wrapped in `(select …)` so that it is called once for each statement and not for each row.
 * @returns URLs of its authenticator, and of one that plans as the stack's does
 */
export async function createSupabaseStyle(admin: Pool, adminUrl: string) {
  const url = await createLogin(admin, adminUrl, 'supabase_authenticator');
  const tunedUrl = await createLogin(admin, adminUrl, 'supabase_authenticator_tuned');
  const copy = (table: string) =>
    `create table supabase_style.${table} as select * from app.${table} where tenant_id ${BENCH_TENANTS};
     alter table supabase_style.${table} enable row level security, alter tenant_id type text, alter tenant_id set not null,
       alter tenant_id set default (supabase_auth.jwt() ->> 'tenant_id');
     create policy "Members read" on supabase_style.${table} for select to authenticated using ${READ};
     create policy "Members add" on supabase_style.${table} for insert to authenticated with check ${READ};`;
  await admin.query(`
    create schema supabase_auth;
    create schema supabase_style;
    create role supabase_anon nologin;
    create role authenticated nologin;
    grant supabase_anon, authenticated to supabase_authenticator, supabase_authenticator_tuned;
    alter role supabase_authenticator_tuned set plan_cache_mode = force_generic_plan;
    create function supabase_auth.jwt() returns jsonb language sql stable as $$
      select coalesce(nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), ''))::jsonb
    $$;
    grant usage on schema supabase_auth, supabase_style to supabase_anon, authenticated;
    ${['files', 'jobs', 'job_findings'].map(copy).join('\n')}
    alter table supabase_style.files add primary key (id), alter id set default uuidv7(), alter kind set default 'upload',
      alter status set default 'pending', alter created_by set default (supabase_auth.jwt() ->> 'sub'),
      alter created_at set default now(), alter updated_at set default now();
    create index on supabase_style.files (tenant_id, created_at desc, id desc);
    alter table supabase_style.jobs add primary key (id);
    create index on supabase_style.jobs (tenant_id, created_at desc, id desc);
    alter table supabase_style.job_findings add primary key (job_id, ordinal),
      add foreign key (job_id) references supabase_style.jobs (id);
    grant select, insert on all tables in schema supabase_style to authenticated;
    analyze`);
  return { url, tunedUrl };
}
