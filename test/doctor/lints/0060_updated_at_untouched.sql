-- expects: app.files
-- flaw
drop trigger touch on app.files;
-- fixed
create trigger touch before update on app.files for each row execute function tenancy.touch();
