-- expects: v1.totals
-- expects: app.totals
-- flaw
create materialized view v1.totals as select 1 as jobs;
create materialized view app.totals as select 1 as jobs;
grant select on app.totals to tenant_user;
-- fixed
drop materialized view v1.totals;
revoke select on app.totals from tenant_user;
