-- expects: t_stale
-- flaw
insert into tenancy.tenants (id, slug, name) values ('t_stale', 'stale', 'Stale'), ('t_true', 'true', 'True');
alter table tenancy.tenants disable trigger take_statement_timeout;
update tenancy.tenants set statement_timeout_ms = 60000 where id = 't_stale';
alter table tenancy.tenants enable trigger take_statement_timeout;
-- fixed
update tenancy.tenants set statement_timeout_ms = 10000 where id = 't_stale';
