--@ function ledger.json_schema(oid,boolean)
create function ledger.json_schema(type_id oid, nullable boolean)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
parallel safe
as $$
declare
  base oid := (select coalesce(nullif(typbasetype, 0), oid) from pg_catalog.pg_type where oid = type_id);
  element oid := (select nullif(typelem, 0) from pg_catalog.pg_type where oid = base and typcategory = 'A');
  shape jsonb;
begin
  if element is not null then
    shape := jsonb_build_object('type', 'array', 'items', ledger.json_schema(element, true));
  else
    shape := case base::regtype::text
      when 'boolean' then '{"type": "boolean"}'
      when 'smallint' then '{"type": "integer"}'
      when 'integer' then '{"type": "integer"}'
      when 'bigint' then '{"type": "integer"}'
      when 'numeric' then '{"type": "number"}'
      when 'real' then '{"type": "number"}'
      when 'double precision' then '{"type": "number"}'
      when 'uuid' then '{"type": "string", "format": "uuid"}'
      when 'timestamp with time zone' then '{"type": "string", "format": "date-time"}'
      when 'date' then '{"type": "string", "format": "date"}'
      when 'json' then '{}'
      when 'jsonb' then '{}'
      else '{"type": "string"}' end::jsonb;
  end if;
  if nullable and shape ? 'type' then
    shape := jsonb_set(shape, '{type}', jsonb_build_array(shape -> 'type', 'null'));
  end if;
  return shape;
end
$$;
comment on function ledger.json_schema(oid, boolean) is 'What to_jsonb() makes of a value of a type, as JSON Schema (draft 2020-12).';

--@ function ledger.row_schema(regclass,regclass,text[])
create function ledger.row_schema(target regclass, api_view regclass, columns text[])
returns jsonb
language sql
stable
security invoker
set search_path = ''
parallel safe
begin atomic
  select jsonb_build_object('type', 'object', 'properties', coalesce(jsonb_object_agg(a.attname,
    ledger.json_schema(a.atttypid, not a.attnotnull) || coalesce(jsonb_strip_nulls(jsonb_build_object('description',
      coalesce(pg_catalog.col_description(api_view, v.attnum), pg_catalog.col_description(target, a.attnum)))), '{}')), '{}'))
  from pg_catalog.pg_attribute as a
  join pg_catalog.pg_attribute as v on v.attrelid = api_view and v.attname = a.attname and not v.attisdropped
  where a.attrelid = target and a.attnum > 0 and not a.attisdropped and a.attname = any (columns);
end;
comment on function ledger.row_schema(regclass, regclass, text[]) is 'JSON Schema of these columns of a table, from the catalogue and its comments.';
