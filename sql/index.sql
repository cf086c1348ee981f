-- The book: what the schema is today. This is the only load order; db/migrations is its history, and a test proves
-- that both build the same catalogue. Read it as chapters: each schema is a folder.

\ir schemas.sql
\ir request/errors.sql
\ir tenancy/tenants.sql
\ir auth/tables.sql
\ir auth/verify.sql
\ir tenancy/roles.sql
\ir request/context.sql
\ir tenancy/protect_checks.sql
\ir tenancy/protect.sql
\ir ledger/entries.sql
\ir ledger/record.sql
\ir tenancy/members.sql
\ir auth/gate.sql
\ir auth/issue.sql
\ir auth/keys.sql
\ir tenancy/directory.sql
\ir tenancy/job_types.sql
\ir ledger/dispatch.sql
\ir app/jobs.sql
\ir app/files.sql
\ir app/job_findings.sql
\ir app/job_runs.sql
\ir v1/tenant.sql
\ir app/submit.sql
\ir v1/jobs.sql
\ir tenancy/explain_checks.sql
\ir tenancy/explain_refusal.sql
\ir tenancy/explain.sql
\ir v1/explain.sql
\ir admin/tenants.sql
