/** The login of the PostgREST that serves the schemas. */
export const AUTHENTICATOR = 'schema_authenticator';

/**
 * A tenant as a schema: the tables of `app` with their keys, checks, indexes and references, without tenant_id, and a role that may use
 * this schema alone. Policies and triggers are left out: grants are the wall here, and what triggers do is not asked.
 */
export const createSchema = (name: string) => `
  create role ${name} nologin;
  grant ${name} to ${AUTHENTICATOR};
  create schema ${name};
  create table ${name}.jobs (
    id uuid not null default uuidv7(),
    type text collate "C" not null,
    input jsonb not null default '{}',
    idempotency_key text,
    status text collate "C" not null default 'queued',
    attempts integer not null default 0,
    max_attempts integer not null default 3,
    progress jsonb not null default '{}',
    result jsonb,
    error jsonb,
    created_by text not null default current_user,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    queued_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    constraint jobs_pkey primary key (id),
    constraint jobs_idempotency_key_key unique (idempotency_key),
    constraint jobs_idempotency_key_length check (length(idempotency_key) between 1 and 255),
    constraint jobs_input_is_an_object check (jsonb_typeof(input) = 'object' and octet_length(input::text) <= 262144),
    constraint jobs_status_known check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    constraint jobs_attempts_in_range check (attempts >= 0 and max_attempts > 0),
    constraint jobs_finished_when_over check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null)));
  create index jobs_created_at_idx on ${name}.jobs (created_at desc, id desc);
  create table ${name}.files (
    id uuid not null default uuidv7(),
    name text not null,
    content_type text not null default 'application/octet-stream',
    size bigint not null,
    sha256 text collate "C",
    kind text collate "C" not null default 'upload',
    status text collate "C" not null default 'pending',
    job_id uuid,
    created_by text not null default current_user,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    stored_at timestamptz,
    constraint files_pkey primary key (id),
    constraint files_job_fkey foreign key (job_id) references ${name}.jobs (id) on delete cascade,
    constraint files_one_output_of_a_kind unique (job_id, kind),
    constraint files_name_form check (length(name) between 1 and 255),
    constraint files_size_not_negative check (size >= 0),
    constraint files_sha256_form check (sha256 ~ '^[0-9a-f]{64}$'),
    constraint files_kind_known check (kind in ('upload', 'repaired', 'report')),
    constraint files_upload_has_no_job check ((kind = 'upload') = (job_id is null)),
    constraint files_status_known check (status in ('pending', 'stored')),
    constraint files_stored_is_whole check ((status = 'stored') = (stored_at is not null) and (status = 'pending' or sha256 is not null)));
  create index files_created_at_idx on ${name}.files (created_at desc, id desc);
  create table ${name}.job_findings (
    job_id uuid not null,
    ordinal integer not null,
    row bigint,
    column_name text,
    rule text collate "C" not null,
    severity text collate "C" not null default 'error',
    message text not null,
    value text,
    repaired text,
    created_at timestamptz not null default now(),
    constraint job_findings_pkey primary key (job_id, ordinal),
    constraint job_findings_job_fkey foreign key (job_id) references ${name}.jobs (id) on delete cascade,
    constraint job_findings_severity_known check (severity in ('error', 'warning')),
    constraint job_findings_value_length check (length(value) <= 300 and length(repaired) <= 300 and length(message) <= 500));
  grant usage on schema ${name} to ${name};
  grant select, insert, update, delete on all tables in schema ${name} to ${name};`;
