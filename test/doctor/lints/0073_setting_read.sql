-- expects: v1.my_tenant() reads request.jwt.claims
-- expects: v1.mine reads app.tenant
-- expects: request.seal() reads rowhouse.seal
-- expects: app.region reads app.region
-- expects: files_own_name on app.files reads app.owner
-- flaw
create domain app.region as text default current_setting('app.region');
alter table app.files add constraint files_own_name check (name <> current_setting('app.owner'));
create function v1.my_tenant() returns text language sql stable
  return current_setting('request.jwt.claims', true)::json ->> 'tenant_id';
create view v1.mine with (security_invoker = true) as select id from app.files where tenant_id = current_setting('app.tenant');
create or replace function request.seal() returns text language sql stable security invoker parallel safe
  return coalesce(nullif(current_setting('backtrace_functions'), ''), current_setting('rowhouse.seal', true));
-- fixed
drop domain app.region;
alter table app.files drop constraint files_own_name;
drop function v1.my_tenant();
create or replace view v1.mine with (security_invoker = true) as select id from app.files where tenant_id = request.tenant_id();
create or replace function request.seal() returns text language sql stable security invoker parallel safe
  return coalesce(nullif(current_setting('backtrace_functions'), ''), auth.verified_seal());
