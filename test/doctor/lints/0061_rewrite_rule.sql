-- expects: quiet on v1.files
-- flaw
create rule quiet as on delete to v1.files do instead nothing;
-- fixed
drop rule quiet on v1.files;
