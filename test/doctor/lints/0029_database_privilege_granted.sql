-- expects: rowhouse_worker
-- flaw
do $$ begin execute format('grant temporary on database %I to rowhouse_worker', current_database()); end $$;
-- fixed
do $$ begin execute format('revoke temporary on database %I from rowhouse_worker', current_database()); end $$;
