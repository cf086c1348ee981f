-- expects: ledger.entries for tenant_user (update)
-- expects: "Second thoughts" on ledger.entries
-- expects: ledger.entries for its owner
-- flaw
grant update on ledger.entries to tenant_user;
grant truncate on ledger.entries to rowhouse_owner;
create policy "Second thoughts" on ledger.entries for delete to rowhouse_owner using (tenant_id = request.tenant_id());
-- fixed
revoke update on ledger.entries from tenant_user;
revoke truncate on ledger.entries from rowhouse_owner;
drop policy "Second thoughts" on ledger.entries;
