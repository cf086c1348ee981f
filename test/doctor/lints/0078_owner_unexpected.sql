-- expects: table v1.files
-- expects: function tenancy.touch()
-- expects: type tenancy.tenant_id
-- flaw
reset role;
alter domain tenancy.tenant_id owner to postgres;
alter view v1.files owner to postgres;
alter function tenancy.touch() owner to postgres;
-- fixed
reset role;
alter view v1.files owner to rowhouse_owner;
alter function tenancy.touch() owner to rowhouse_owner;
alter domain tenancy.tenant_id owner to rowhouse_owner;
