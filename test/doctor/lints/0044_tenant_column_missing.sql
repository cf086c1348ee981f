-- expects: app.countries
-- flaw
create table app.countries (code text primary key, name text not null);
-- fixed
drop table app.countries;
