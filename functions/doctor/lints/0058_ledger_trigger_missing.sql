-- id: 0058
-- name: ledger_trigger_missing
-- level: error
-- fix: migration
-- title: Changes of a table are not in the ledger
-- why: What is not in the ledger is not audited, sent, streamed, cached away or rewound.

select t.name as object,
  format('%s is not recorded', string_agg(verbs.verb, ', ' order by verbs.verb)) as detail,
  string_agg(format('create trigger ledger_%1$s after %1$s on %2$s referencing %3$s for each statement execute function ledger.record(%4$L, %5$L);',
    verbs.verb, t.name, verbs.referencing, t.tenant_column, coalesce((
      select array_agg(a.attname order by a.attname) from pg_catalog.pg_index k
      join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = any (k.indkey)
      where k.indrelid = t.oid and k.indisprimary and a.attname <> 'tenant_id'), '{tenant_id}')), ' ') as remedy,
  jsonb_build_object('relation', t.name) as metadata
from tables t
cross join (values ('insert', 4, 'new table as new_rows'), ('update', 16, 'old table as old_rows new table as new_rows'),
  ('delete', 8, 'old table as old_rows')) as verbs (verb, bit, referencing)
where (t.is_tenant_data or t.tenant_column is not null and t.has_rls) and not t.is_partition
  and not exists (
    select from pg_catalog.pg_trigger g
    where g.tgrelid = t.oid and g.tgfoid = to_regprocedure('ledger.record()') and g.tgtype & verbs.bit <> 0
      and g.tgtype & 67 = 0) -- after, for each statement
group by t.oid, t.name, t.tenant_column
