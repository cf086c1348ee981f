-- id: 0075
-- name: function_setting_unsafe
-- level: error
-- fix: superuser
-- title: A function changes a setting of the wall while it runs
-- why: While it runs the wall is another one than outside it: triggers off, another role, another tenant.

select format('%s sets %s', f.name, split_part(pair, '=', 1)) as object,
  'for as long as it runs' as detail,
  format('alter function %s reset %s;', f.name, split_part(pair, '=', 1)) as remedy,
  jsonb_build_object('function', f.name) as metadata
from functions f
cross join unnest(f.settings) as pair
where pair ~ '^(role|session_authorization|session_replication_role|row_security|backtrace_functions|rowhouse\.|request\.|pgrst\.)'
