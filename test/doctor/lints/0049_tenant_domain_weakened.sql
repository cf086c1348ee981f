-- expects: tenancy.tenant_id
-- flaw
alter domain tenancy.tenant_id drop constraint tenant_id_form;
-- fixed
alter domain tenancy.tenant_id add constraint tenant_id_form check (octet_length(value) <= 49 and value ~ '^t_[a-z0-9][a-z0-9_]*$');
