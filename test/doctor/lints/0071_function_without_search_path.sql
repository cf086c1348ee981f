-- expects: tenancy.touch()
-- flaw
alter function tenancy.touch() set search_path = app, public;
-- fixed
alter function tenancy.touch() set search_path = '';
