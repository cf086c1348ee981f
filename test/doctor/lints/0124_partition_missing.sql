-- expects: app.notes
-- flaw
create table app.notes (tenant_id tenancy.tenant_id not null, id uuid not null default uuidv7(), primary key (tenant_id, id)) partition by hash (tenant_id);
create table app.notes_p00 partition of app.notes for values with (modulus 2, remainder 0);
select tenancy.protect('app.notes');
-- fixed
create table app.notes_p01 partition of app.notes for values with (modulus 2, remainder 1);
select tenancy.protect('app.notes');
