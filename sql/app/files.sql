--@ table app.files
create table app.files (
  tenant_id tenancy.tenant_id not null,
  id uuid not null default uuidv7(),
  name text not null,
  content_type text not null default 'application/octet-stream',
  size bigint not null,
  sha256 text collate "C",
  kind text collate "C" not null default 'upload',
  status text collate "C" not null default 'pending',
  job_id uuid,
  created_by text not null default request.subject(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  stored_at timestamptz,
  constraint files_pkey primary key (tenant_id, id),
  constraint files_job_fkey foreign key (tenant_id, job_id) references app.jobs (tenant_id, id) on delete cascade,
  constraint files_one_output_of_a_kind unique (tenant_id, job_id, kind),
  constraint files_name_form check (length(name) between 1 and 255 and name !~ '[\x01-\x1f\x7f/\\]'),
  constraint files_content_type_form check (content_type ~ '^[A-Za-z0-9!#$&^_.+-]{1,80}/[A-Za-z0-9!#$&^_.+-]{1,80}(; ?charset=[A-Za-z0-9_-]{1,40})?$'),
  constraint files_size_not_negative check (size >= 0),
  constraint files_sha256_form check (sha256 ~ '^[0-9a-f]{64}$'),
  constraint files_kind_known check (kind in ('upload', 'repaired', 'report')),
  constraint files_upload_has_no_job check ((kind = 'upload') = (job_id is null)),
  constraint files_status_known check (status in ('pending', 'stored')),
  constraint files_stored_is_whole check ((status = 'stored') = (stored_at is not null) and (status = 'pending' or sha256 is not null))
) partition by hash (tenant_id);
create index files_created_at_idx on app.files (tenant_id, created_at desc, id desc);
-- Outputs of jobs are few among uploads.
create index files_kind_idx on app.files (tenant_id, kind, created_at desc, id desc);
comment on table app.files is $$Files

What the tenant uploaded, and what its jobs wrote. The bytes are fetched at /storage/v1/files/{id}.$$;
comment on column app.files.size is 'Bytes: as announced until the file is stored, as stored from then on.';
comment on column app.files.sha256 is 'Lower-case hex. If announced with the upload, the body must match it.';
comment on column app.files.kind is '`upload`, or what a job wrote: `repaired`, `report`.';
comment on column app.files.status is '`pending` until the bytes are there, then `stored`.';
comment on column app.files.job_id is 'The job that wrote this file.';
select tenancy.protect('app.files', expose => true,
  server_columns => '{kind,status,job_id,created_by,stored_at}');
-- Once announced, only a file's name changes: its size and checksum are what the signed URL was made for.
revoke update on app.files, v1.files from tenant_user;
grant update (name) on app.files, v1.files to tenant_user;
grant select on app.files to rowhouse_worker, rowhouse_edge;
grant insert (name, content_type, size, kind, job_id), update (name, size, sha256, status, stored_at) on app.files to rowhouse_worker;
grant update (size, sha256, status, stored_at) on app.files to rowhouse_edge;

--@ function app.mark_file_stored(uuid,bigint,text)
create function app.mark_file_stored(file_id uuid, stored_size bigint, stored_sha256 text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
parallel unsafe
as $$
declare
  file app.files;
begin
  select * into file from app.files where tenant_id = request.tenant_id() and id = file_id for no key update;
  if not found then
    perform request.raise_error('file_not_found');
  elsif file.status = 'stored' and file.kind = 'upload' then
    perform request.raise_error('file_exists', null, 'a file is written once: start another upload');
  elsif file.kind = 'upload' and file.sha256 is not null and file.sha256 <> stored_sha256 then
    perform request.raise_error('upload_checksum', null, 'upload the bytes that the checksum was made of');
  end if;
  update app.files set size = stored_size, sha256 = stored_sha256, status = 'stored', stored_at = now()
  where tenant_id = request.tenant_id() and id = file_id;
end
$$;
comment on function app.mark_file_stored(uuid, bigint, text) is
  'Records that the bytes of a file are in storage. An upload is written once; a job that is repeated writes its outputs again. '
  'Raises file_not_found, file_exists, upload_checksum.';
grant execute on function app.mark_file_stored(uuid, bigint, text) to rowhouse_edge, rowhouse_worker;
