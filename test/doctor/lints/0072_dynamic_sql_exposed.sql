-- expects: v1.search(text)
-- flaw
create function v1.search(term text) returns bigint language plpgsql stable set search_path = '' as $$
declare
  found_rows bigint;
begin
  execute 'select count(*) from v1.files where name = ''' || term || '''' into found_rows; -- execute
  return found_rows;
end $$;
-- fixed
create or replace function v1.search(term text) returns bigint language plpgsql stable set search_path = '' as $$
begin
  -- To execute a string would be wrong here.
  return (select count(*) from v1.files where name = term and name <> 'execute');
end $$;
