-- expects: PostgreSQL 17.4
-- flaw
set local rowhouse.server_version_num = '170004';
-- fixed
set local rowhouse.server_version_num = '';
