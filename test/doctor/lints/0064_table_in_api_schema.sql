-- expects: v1.settings
-- flaw
create table v1.settings (name text primary key, value text);
-- fixed
drop table v1.settings;
