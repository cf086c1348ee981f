--@ table tenancy.job_types
create table tenancy.job_types (
  type text collate "C" not null,
  description text not null,
  registered_at timestamptz not null default now(),
  constraint job_types_pkey primary key (type),
  constraint job_types_form check (type ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$' and length(type) <= 60)
);
comment on table tenancy.job_types is 'The job types that workers handle, one file each in functions/jobs: the same for every tenant.';
grant select on tenancy.job_types to tenant_user, rowhouse_worker;
grant insert (type, description), update (description, registered_at) on tenancy.job_types to rowhouse_worker;

--@ data tenancy.job_types
insert into tenancy.job_types (type, description) values
  ('csv.validate', 'Checks a CSV file against rules for its columns, and repairs it if asked');
