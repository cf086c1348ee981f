-- expects: lo_creat(integer) for public
-- expects: lo_get(oid) for tenant_user
-- flaw
reset role;
grant execute on function lo_creat(integer) to public;
grant execute on function lo_get(oid) to tenant_user;
-- fixed
reset role;
revoke execute on function lo_creat(integer) from public;
revoke execute on function lo_get(oid) from tenant_user;
