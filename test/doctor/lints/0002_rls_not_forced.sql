-- expects: app.files
-- expects: auth.signing_keys
-- expects: app.jobs_p31
-- flaw
alter table app.files no force row level security;
alter table auth.signing_keys no force row level security;
alter table app.jobs_p31 no force row level security;
-- fixed
alter table app.files force row level security;
alter table auth.signing_keys force row level security;
alter table app.jobs_p31 force row level security;
