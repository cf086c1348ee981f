-- expects: citext
-- flaw
reset role;
create extension citext with schema public;
-- fixed
reset role;
alter extension citext set schema extensions;
