-- expects: app.notes
-- flaw
create table app.notes (tenant_id tenancy.tenant_id not null default request.tenant_id(), id uuid not null default uuidv7(),
  constraint notes_pkey primary key (tenant_id, id));
alter table app.notes enable row level security, force row level security;
select ledger.follow('app.notes');
-- fixed
drop table app.notes;
