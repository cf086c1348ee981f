-- expects: citext
-- flaw
reset role;
create extension citext with schema extensions version '1.4';
-- fixed
reset role;
alter extension citext update;
