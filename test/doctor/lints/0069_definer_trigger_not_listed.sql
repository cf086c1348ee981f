-- expects: app.count_files()
-- flaw
create function app.count_files() returns trigger language plpgsql security definer set search_path = ''
  as $$ begin return null; end $$;
create trigger count_files after insert on app.files for each statement execute function app.count_files();
-- fixed
alter function app.count_files() security invoker;
