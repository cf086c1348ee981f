-- expects: app.files
-- expects: app.jobs_p00
-- expects: tenancy.tenants
-- flaw
alter table tenancy.tenants disable row level security;
alter table app.files disable row level security;
alter table app.jobs_p00 disable row level security;
-- fixed
alter table tenancy.tenants enable row level security;
alter table app.files enable row level security;
alter table app.jobs_p00 enable row level security;
