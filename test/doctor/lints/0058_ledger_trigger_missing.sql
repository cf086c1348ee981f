-- expects: app.files
-- expects: tenancy.tenants
-- flaw
drop trigger ledger_update on app.files;
drop trigger ledger_insert on tenancy.tenants;
-- fixed
create trigger ledger_update after update on app.files referencing old table as old_rows new table as new_rows
  for each statement execute function ledger.record('tenant_id', '{id}');
create trigger ledger_insert after insert on tenancy.tenants referencing new table as new_rows
  for each statement execute function ledger.record('id', '{id}');
