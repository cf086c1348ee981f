-- expects: files_name_not_dull on app.files
-- flaw
alter table app.files add constraint files_name_not_dull check (name <> 'untitled') not valid;
-- fixed
alter table app.files validate constraint files_name_not_dull;
