-- expects: "A member reads the rows of their tenant" on app.jobs
-- flaw
alter policy "A member reads the rows of their tenant" on app.jobs to public;
-- fixed
alter policy "A member reads the rows of their tenant" on app.jobs to tenant_user;
