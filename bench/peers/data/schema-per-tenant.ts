import type { Pool } from '../../../functions/database.ts';
import { createLogin } from './login.ts';

/** PostgREST reads the catalogue of every schema it serves; some dozens are enough to see what a request costs. */
export const SCHEMAS = 50;

/**
 * The same rows in a schema for each tenant, without tenant_id, and a role for each that may use its own schema alone: grants are the
 * wall, at no cost to a request. PostgREST takes the role from the token and the schema from Accept-Profile.
 * @param tenants of whom the first SCHEMAS get one
 * @returns the URL of its authenticator, and the schemas
 */
export async function createSchemaPerTenant(admin: Pool, adminUrl: string, tenants: readonly { id: string }[]) {
  const url = await createLogin(admin, adminUrl, 'schema_authenticator');
  await admin.query('create role schema_anon nologin; grant schema_anon to schema_authenticator');
  const schemas = tenants.slice(0, SCHEMAS).map(({ id }) => id);
  for (const id of schemas) {
    const copy = (table: string) =>
      `create table ${id}.${table} as select * from app.${table} where tenant_id = '${id}';
       alter table ${id}.${table} drop tenant_id;`;
    await admin.query(`
      create schema ${id};
      create role ${id} nologin;
      grant ${id} to schema_authenticator;
      ${['files', 'jobs', 'job_findings'].map(copy).join('\n')}
      alter table ${id}.files add primary key (id), alter id set default uuidv7(), alter kind set default 'upload',
        alter status set default 'pending', alter created_at set default now(), alter updated_at set default now(),
        alter created_by set default nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub';
      create index on ${id}.files (created_at desc, id desc);
      alter table ${id}.jobs add primary key (id);
      create index on ${id}.jobs (created_at desc, id desc);
      alter table ${id}.job_findings add primary key (job_id, ordinal), add foreign key (job_id) references ${id}.jobs (id);
      grant usage on schema ${id} to ${id};
      grant select, insert on all tables in schema ${id} to ${id};`);
  }
  await admin.query('analyze');
  return { url, schemas };
}
