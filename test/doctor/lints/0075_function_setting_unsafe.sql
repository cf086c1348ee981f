-- expects: tenancy.touch() sets session_replication_role
-- flaw
reset role;
alter function tenancy.touch() set session_replication_role = 'replica';
-- fixed
reset role;
alter function tenancy.touch() reset session_replication_role;
