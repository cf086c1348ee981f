-- migrate:up
-- Reads every entry of the ledger. SHARE UPDATE EXCLUSIVE: nobody waits who reads or writes.
set local lock_timeout = '3s';
set local search_path = '';

--@ run the slots of the entries that are there
alter table ledger.entries validate constraint entries_slot_of_tenant;

-- migrate:down
-- squawk-ignore-file constraint-missing-not-valid
set local lock_timeout = '3s';
set local search_path = '';

--@ run the slots of the entries that are there
alter table ledger.entries drop constraint entries_slot_of_tenant;
alter table ledger.entries add constraint entries_slot_of_tenant check (slot = (hashtextextended(tenant_id, 0) & 15)) not valid;
