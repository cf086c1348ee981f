-- expects: pg_read_file(text) for tenant_user
-- expects: pg_ls_dir(text) for public
-- flaw
reset role;
grant execute on function pg_read_file(text) to tenant_user;
grant execute on function pg_ls_dir(text) to public;
-- fixed
reset role;
revoke execute on function pg_read_file(text) from tenant_user;
revoke execute on function pg_ls_dir(text) from public;
