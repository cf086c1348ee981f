--@ function ledger.view_words(regclass)
create function ledger.view_words(api_view regclass)
returns table (depth bigint, words text)
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  -- A backslash before a brace: it is part of a name.
  select coalesce(sum(case when right(piece[1], 1) = '{' then 1 else -1 end)
      over (order by nth rows between unbounded preceding and 1 preceding), 0), piece[1]
  from pg_catalog.pg_rewrite as r
  cross join regexp_matches(r.ev_action::text, '(?:\\.|[^{}\\])*[{}]', 'g') with ordinality as pieces (piece, nth)
  where r.ev_class = api_view and r.rulename = '_RETURN';
end;
comment on function ledger.view_words(regclass) is
  'The parse tree of a view as PostgreSQL keeps it, in pieces that end with a brace, and how many braces are open before each: the view''s '
  'own query is at 1, its clauses are at 2, and sub-selects are deeper.';

--@ function ledger.shows_each_row(regclass,regclass)
create function ledger.shows_each_row(api_view regclass, target regclass)
returns boolean
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select count(*) filter (where depth = 2 and words like 'RANGETBLENTRY%') = 1
    and count(*) filter (where depth = 2 and words ~ format('^ :rtekind 0 :relid %s :.* :tablesample <> ', target::oid)) = 1
    and count(*) filter (where depth = 2 and words like ') :quals <>}') = 1
    -- Clauses that the query does not have.
    and string_agg(words, '') filter (where depth = 1) ~ (':groupClause <> .* :havingQual <> .* :distinctClause <> .* :limitOffset <> '
      ':limitCount <> .* :setOperations <> ')
  from ledger.view_words(api_view);
end;
comment on function ledger.shows_each_row(regclass, regclass) is
  'Whether a view reads one table, this one, and neither leaves rows out nor adds any: no where, join, group by, distinct or limit.';

--@ function ledger.plain_columns(regclass,regclass)
create function ledger.plain_columns(api_view regclass, target regclass)
returns text[]
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  with shown as (
    select regexp_match(words, '^ :resno (\d+) :.* :resorigtbl (\d+) :resorigcol (\d+) :resjunk false\}$') as entry
    from ledger.view_words(api_view) where depth = 2 and words like ' :resno %')
  select coalesce(array_agg(a.attname::text order by a.attnum), '{}')
  from shown
  join pg_catalog.pg_attribute as v on v.attrelid = api_view and v.attnum = entry[1]::smallint
  join pg_catalog.pg_attribute as a on a.attrelid = target and a.attnum = entry[3]::smallint and a.attname = v.attname
  where entry[2]::oid = target and has_column_privilege('tenant_user', api_view, v.attnum, 'select');
end;
comment on function ledger.plain_columns(regclass, regclass) is
  'The columns of a table that a view shows as they are, under their own names, and that clients may read in it. What it computes (a masked '
  'column of the same name) is none of them: entries have the table''s rows.';
