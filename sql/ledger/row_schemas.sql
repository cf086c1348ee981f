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

--@ function ledger.schema_without(jsonb,text[])
create function ledger.schema_without(schema jsonb, keywords text[])
returns jsonb
language sql
immutable
security invoker
parallel safe
-- `true` and `false` are schemas, too.
return case when jsonb_typeof(schema) = 'object' then schema - keywords else schema end;
comment on function ledger.schema_without(jsonb, text[]) is 'A schema without some of its keywords.';

--@ function ledger.schema_change(jsonb,jsonb)
create function ledger.schema_change(present jsonb, wanted jsonb)
returns text
language sql
immutable
security invoker
set search_path = ''
parallel safe
begin atomic
  with keywords (words, apart) as (values ('{$comment,description,examples,title}'::text[], '{$comment,description,examples,title,properties}'::text[]))
  select case
    -- What said nothing of any property allowed all.
    when (present ? 'properties') <> (wanted ? 'properties')
      or ledger.schema_without(present, k.apart) <> ledger.schema_without(wanted, k.apart)
      or exists (
        select from jsonb_each(present -> 'properties') as was join jsonb_each(wanted -> 'properties') as becomes using (key)
        where ledger.schema_without(was.value, k.words) <> ledger.schema_without(becomes.value, k.words)) then 'other'
    when exists (
      select from jsonb_each(present -> 'properties') as was
      left join jsonb_each(wanted -> 'properties') as becomes using (key) where becomes.key is null) then 'fewer'
    else 'none' end
  from keywords as k;
end;
comment on function ledger.schema_change(jsonb, jsonb) is
  'What readers of a schema would find changed in another: none (it may have more properties, and other words), fewer properties, or other.';
