-- expects: "The client's moves of a job stay in its tenant" on app.jobs
-- flaw
alter policy "The client's moves of a job stay in its tenant" on app.jobs using (true);
-- fixed
alter policy "The client's moves of a job stay in its tenant" on app.jobs using (tenant_id = request.tenant_id());
