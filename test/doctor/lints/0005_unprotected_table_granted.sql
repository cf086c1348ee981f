-- expects: auth.operators for tenant_user (insert, select)
-- expects: auth.signing_keys for rowhouse_sealer (insert, select, update)
-- flaw
grant select, insert (subject) on auth.operators to tenant_user;
alter table auth.signing_keys disable row level security;
-- fixed
revoke all on auth.operators from tenant_user;
alter table auth.signing_keys enable row level security;
