-- expects: "A member reads the rows of their tenant" on app.files
-- expects: "A member reads the rows of their tenant" on app.jobs
-- flaw
create function app.is_mine(file_tenant text) returns boolean language plpgsql stable set search_path = ''
  as $$ begin return file_tenant = request.tenant_id(); end $$;
alter policy "A member reads the rows of their tenant" on app.files using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()
  and (select request.has_tenant_role('viewer')) and app.is_mine(tenant_id));
alter policy "A member reads the rows of their tenant" on app.jobs using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()
  and (select request.has_tenant_role('viewer'))
  and exists (select from tenancy.job_types as known where known.type = jobs.type));
-- fixed
alter policy "A member reads the rows of their tenant" on app.files using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()
  and (select request.has_tenant_role('viewer')));
alter policy "A member reads the rows of their tenant" on app.jobs using ((select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()
  and (select request.has_tenant_role('viewer')));
