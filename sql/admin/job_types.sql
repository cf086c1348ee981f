--@ view admin.job_types
create view admin.job_types with (security_invoker = true) as
  select type, description, max_attempts, max_result_bytes, paused_at, registered_at from tenancy.job_types;
comment on view admin.job_types is $$Job types

What workers handle, for every tenant.$$;
comment on column admin.job_types.paused_at is 'Since when no job of the type is started; those that are submitted wait.';
comment on column admin.job_types.registered_at is 'When a worker that handles it last started.';
grant select on admin.job_types to operator;

--@ function tenancy.set_job_type_pause(text,boolean)
create function tenancy.set_job_type_pause(of_type text, paused boolean)
returns setof tenancy.job_types
language plpgsql
volatile
security invoker
rows 1
set search_path = ''
parallel unsafe
as $$
begin
  return query
    update tenancy.job_types set paused_at = case when paused then coalesce(paused_at, now()) end where type = of_type returning *;
  if not found then
    perform request.raise_error('job_type_unknown', format('no worker has registered %s', of_type), 'the types are listed in admin.job_types');
  end if;
end
$$;
comment on function tenancy.set_job_type_pause(text, boolean) is 'Keeps workers from starting jobs of a type, or lets them again. Raises job_type_unknown.';
grant execute on function tenancy.set_job_type_pause(text, boolean) to rowhouse_worker;

--@ function admin.pause_job_type(text)
create function admin.pause_job_type(type text)
returns setof admin.job_types
language plpgsql
volatile
security definer -- operators hold no grant on the table: only these functions
rows 1
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.require_operator();
  return query
    select t.type, t.description, t.max_attempts, t.max_result_bytes, t.paused_at, t.registered_at
    from tenancy.set_job_type_pause(pause_job_type.type, true) as t;
end
$$;
comment on function admin.pause_job_type(text) is $$Pause a job type

Workers start no more jobs of it within seconds; those that run go on, and those that are submitted wait.$$;
grant execute on function admin.pause_job_type(text) to operator;

--@ function admin.resume_job_type(text)
create function admin.resume_job_type(type text)
returns setof admin.job_types
language plpgsql
volatile
security definer -- as admin.pause_job_type()
rows 1
set search_path = ''
parallel unsafe
as $$
begin
  perform auth.require_operator();
  return query
    select t.type, t.description, t.max_attempts, t.max_result_bytes, t.paused_at, t.registered_at
    from tenancy.set_job_type_pause(resume_job_type.type, false) as t;
end
$$;
comment on function admin.resume_job_type(text) is 'Resume a paused job type';
grant execute on function admin.resume_job_type(text) to operator;
