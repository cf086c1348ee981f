--@ trigger submit_job on v1.jobs
create trigger submit_job instead of insert on v1.jobs
  for each row execute function app.submit_job();

--@ function v1.cancel_job(uuid)
create function v1.cancel_job(id uuid)
returns setof v1.jobs
language sql
volatile
security definer -- clients hold no grant to set a job's status: only this move
rows 1
set search_path = ''
parallel unsafe
begin atomic
  select * from app.move_job(cancel_job.id, 'cancelled', '{queued,running}');
end;
comment on function v1.cancel_job(uuid) is $$Cancel a job

A queued job never starts; a running one stops at its next step.$$;
grant execute on function v1.cancel_job(uuid) to tenant_user;

--@ function v1.retry_job(uuid)
create function v1.retry_job(id uuid)
returns setof v1.jobs
language sql
volatile
security definer -- clients hold no grant to set a job's status: only this move
rows 1
set search_path = ''
parallel unsafe
begin atomic
  select * from app.move_job(retry_job.id, 'queued', '{failed,cancelled}');
end;
comment on function v1.retry_job(uuid) is $$Retry a job

Queues a failed or cancelled job again, for as many attempts as its type allows.$$;
grant execute on function v1.retry_job(uuid) to tenant_user;
