-- expects: schema v1
-- expects: table v1.files
-- flaw
grant usage on schema v1 to anon;
grant select on v1.files to anon;
-- fixed
revoke usage on schema v1 from anon;
revoke select on v1.files from anon;
