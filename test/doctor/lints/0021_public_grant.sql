-- expects: function app.greet()
-- expects: table app.files
-- expects: schema v1
-- expects: type app.mood
-- flaw
create function app.greet() returns text language sql immutable return 'hello';
grant execute on function app.greet() to public;
grant select (name) on app.files to public;
grant usage on schema v1 to public;
create type app.mood as enum ('good');
grant usage on type app.mood to public;
-- fixed
revoke execute on function app.greet() from public;
revoke select (name) on app.files from public;
revoke usage on schema v1 from public;
revoke usage on type app.mood from public;
