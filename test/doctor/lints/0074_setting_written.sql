-- expects: v1.choose(text,text)
-- expects: app.quiet()
-- flaw
create function v1.choose(name text, value text) returns text language sql volatile set search_path = ''
  begin atomic select set_config(name, value, true); end;
create function app.quiet() returns void language plpgsql set search_path = '' as $$
begin
  set local statement_timeout = 0;
end $$;
-- fixed
drop function v1.choose(text, text);
create or replace function app.quiet() returns void language plpgsql set search_path = '' as $$
begin
  update app.jobs set status = 'cancelled' where false;
end $$;
