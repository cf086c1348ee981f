--@ table app.job_findings
create table app.job_findings (
  tenant_id tenancy.tenant_id not null,
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
  constraint job_findings_pkey primary key (tenant_id, job_id, ordinal),
  constraint job_findings_job_fkey foreign key (tenant_id, job_id) references app.jobs (tenant_id, id) on delete cascade,
  constraint job_findings_severity_known check (severity in ('error', 'warning')),
  constraint job_findings_value_length check (length(value) <= 300 and length(repaired) <= 300 and length(message) <= 500)
) partition by hash (tenant_id);
comment on table app.job_findings is $$Findings of jobs

What a job found wrong, in the order of the file, up to the limit that the job was given. All of them are in its report file.$$;
comment on column app.job_findings.ordinal is 'Counts the findings of a job from 0, in the order of the file.';
comment on column app.job_findings.row is 'The record of the file, counted from 1 without the header; null for the file as a whole.';
comment on column app.job_findings.repaired is 'What the repaired file has instead.';
-- No ledger: findings are derived from a file and a job that are both in it, and can be a thousand for each job.
select tenancy.protect('app.job_findings', ledger => false, expose => true, client_verbs => '{}');
grant select on app.job_findings to rowhouse_worker;
grant insert (job_id, ordinal, row, column_name, rule, severity, message, value, repaired), delete on app.job_findings to rowhouse_worker;
