--@ table tenancy.job_types
create table tenancy.job_types (
  type text collate "C" not null,
  description text not null,
  registered_at timestamptz not null default now(),
  max_attempts integer not null default 3,
  max_result_bytes integer not null default 262144,
  paused_at timestamptz,
  constraint job_types_pkey primary key (type),
  constraint job_types_form check (type ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$' and length(type) <= 60),
  constraint job_types_max_attempts_range check (max_attempts between 1 and 100),
  constraint job_types_max_result_bytes_range check (max_result_bytes between 1 and 1048576)
);
comment on table tenancy.job_types is 'The job types that workers handle, one file each: the same for every tenant.';
comment on column tenancy.job_types.max_attempts is 'How often a job of the type is tried.';
comment on column tenancy.job_types.max_result_bytes is 'How large a result may be, as text.';
comment on column tenancy.job_types.paused_at is 'Since when workers take no job of the type; jobs are accepted, and wait.';
grant select on tenancy.job_types to tenant_user, operator, rowhouse_worker;
grant insert (type, description, max_attempts, max_result_bytes),
  update (description, registered_at, max_attempts, max_result_bytes, paused_at) on tenancy.job_types to rowhouse_worker;

--@ data tenancy.job_types
insert into tenancy.job_types (type, description) values
  ('csv.validate', 'Checks a CSV file against rules for its columns, and repairs it if asked');
