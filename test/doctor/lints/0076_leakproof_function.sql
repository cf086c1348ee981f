-- expects: tenancy.role_rank(text)
-- flaw
reset role;
alter function tenancy.role_rank(text) leakproof;
-- fixed
alter function tenancy.role_rank(text) not leakproof;
