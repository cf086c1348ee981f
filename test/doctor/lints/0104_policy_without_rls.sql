-- expects: tenancy.pools
-- flaw
alter table tenancy.pools disable row level security;
-- fixed
alter table tenancy.pools enable row level security;
