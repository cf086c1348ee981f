-- expects: ledger_insert on app.files
-- expects: guard_job on app.jobs
-- flaw
alter table app.files disable trigger ledger_insert;
alter table app.jobs disable trigger guard_job;
-- fixed
alter table app.files enable trigger ledger_insert;
alter table app.jobs enable trigger guard_job;
