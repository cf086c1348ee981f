-- expects: app.notes
-- flaw
create table app.notes (tenant_id text not null default request.tenant_id(), id uuid not null default uuidv7(),
  constraint notes_pkey primary key (tenant_id, id)) partition by hash (tenant_id);
create table app.notes_p00 partition of app.notes for values with (modulus 1, remainder 0);
alter table app.notes enable row level security, force row level security;
alter table app.notes_p00 enable row level security, force row level security;
select ledger.follow('app.notes');
-- fixed
drop table app.notes;
