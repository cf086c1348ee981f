-- What an expression means is the library's to say (functions/worker/cron.ts); these say, in the transaction that stores it, whether
-- it is one. test/jobs/cron.test.ts compares both.

--@ function app.cron_values(text,integer,integer,text[])
create function app.cron_values(field text, lowest integer, highest integer, names text[])
returns integer[]
language plpgsql
immutable
security invoker
set search_path = ''
parallel safe
as $$
declare
  item text;
  parts text[];
  bounds integer[];
  found_values integer[] := '{}';
begin
  foreach item in array string_to_array(lower(field), ',') loop
    parts := regexp_match(item, '^(?:(\*)|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([1-9][0-9]?))?$');
    if parts is null or parts[4] is not null and parts[1] is null and parts[3] is null then
      return null;
    end if;
    bounds := case when parts[1] = '*' then array[lowest, highest] else array(
      select case when word ~ '^[0-9]' then word::integer else lowest + array_position(names, word) - 1 end
      from unnest(array[parts[2], coalesce(parts[3], parts[2])]) with ordinality as words (word, nth) order by nth) end;
    if not coalesce(bounds[1] between lowest and bounds[2] and bounds[2] <= highest, false) then
      return null;
    end if;
    found_values := found_values || array(select generate_series(bounds[1], bounds[2], coalesce(parts[4], '1')::integer));
  end loop;
  -- The library refuses a value that is there twice.
  return case when found_values <> '{}' and cardinality(found_values) = (select count(distinct value) from unnest(found_values) as value) then found_values end;
end
$$;
comment on function app.cron_values(text, integer, integer, text[]) is
  'The values of one field of a cron expression: *, a, a-b, */n, a-b/n, names, lists of these. Null where it is none. '
  'names: of the values from the lowest on.';

--@ function app.cron_problem(text)
create function app.cron_problem(expression text)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
parallel safe
as $$
declare
  fields text[] := regexp_split_to_array(expression, ' +');
  months constant text[] := '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}';
  problem text;
begin
  if expression in ('@hourly', '@daily', '@weekly', '@monthly', '@yearly') then
    return null;
  elsif length(expression) > 256 or cardinality(fields) <> 5 then
    return 'it has five fields, minute, hour, day of month, month, day of week, or is @hourly, @daily, @weekly, @monthly or @yearly';
  end if;
  select format('the %s is not one: %s', field_name, fields[nth]) into problem
  from unnest('{minute,hour,day of month,month,day of week}'::text[], '{0,0,1,1,0}'::integer[], '{59,23,31,12,7}'::integer[])
    with ordinality as field (field_name, lowest, highest, nth)
  where app.cron_values(fields[nth], lowest, highest,
    case nth when 4 then months when 5 then '{sun,mon,tue,wed,thu,fri,sat}'::text[] end) is null
  order by nth limit 1;
  if problem is null and not exists (
    select from unnest(app.cron_values(fields[4], 1, 12, months)) as month
    where (select min(day) from unnest(app.cron_values(fields[3], 1, 31, null)) as day)
      <= case when month = 2 then 29 when month in (4, 6, 9, 11) then 30 else 31 end) then
    problem := format('no month %s has a day %s', fields[4], fields[3]);
  end if;
  return problem;
end
$$;
comment on function app.cron_problem(text) is 'Why this is no cron expression; null where it is one.';

--@ function app.is_time_zone(text)
create function app.is_time_zone(zone text)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
begin
  -- PostgreSQL takes POSIX rules for zones (`Foo+5`), too, which the library does not: IANA names alone.
  if zone !~ '^(UTC|Etc/GMT(-([0-9]|1[0-4])|\+([0-9]|1[0-2]))|[A-Z][A-Za-z]+(/[A-Z][A-Za-z_-]+){1,2})$' then
    return false;
  -- Its clock changes by half an hour, over which the library finds no way: it looks for a quarter of a second, and gives up.
  elsif lower(zone) in ('australia/lord_howe', 'australia/lhi') then
    return false;
  end if;
  perform pg_catalog.timezone(zone, now());
  return true;
exception when invalid_parameter_value then
  return false;
end
$$;
comment on function app.is_time_zone(text) is 'Whether this is the IANA name of a time zone that this server knows, and the workers can reckon with.';
grant execute on function app.cron_values(text, integer, integer, text[]), app.cron_problem(text), app.is_time_zone(text)
  to tenant_user, rowhouse_worker; -- a worker that notes a failure passes the same trigger
