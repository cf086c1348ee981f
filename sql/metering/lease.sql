--@ function metering.lease(text[],text[],double precision[],double precision[],double precision[],double precision[],double precision[])
create function metering.lease(
  tenant_ids text[], kinds text[], rates double precision[], bursts double precision[],
  owed double precision[], wanted double precision[], ceilings double precision[])
returns table (ask integer, granted double precision, remaining double precision)
language plpgsql
volatile
security definer -- an edge reaches the buckets through this alone
set search_path = ''
parallel unsafe
as $$
#variable_conflict use_column
declare
  asked record;
  bucket metering.rate_buckets;
  instant timestamptz;
begin
  for asked in
    select nth::integer, tenant_id, kind, rate, greatest(burst, 1) as burst, owed, wanted, ceiling
    from unnest(tenant_ids, kinds, rates, bursts, owed, wanted, ceilings)
      with ordinality as asks (tenant_id, kind, rate, burst, owed, wanted, ceiling, nth)
    order by tenant_id, kind -- every edge locks in the same order
  loop
    select * into bucket from metering.rate_buckets as b
    where b.tenant_id = asked.tenant_id and b.kind = asked.kind for no key update;
    if not found then
      insert into metering.rate_buckets as b (tenant_id, kind, units, refilled_at)
      select t.id, asked.kind, asked.burst, clock_timestamp() from tenancy.tenants as t where t.id = asked.tenant_id
      on conflict on constraint rate_buckets_pkey do update set units = b.units
      returning * into bucket;
      continue when not found; -- no such tenant
    end if;
    instant := greatest(clock_timestamp(), bucket.refilled_at);
    -- What was used without a lease was used while the bucket was filling: it counts before the bucket is full.
    bucket.units := least(asked.burst, coalesce(asked.ceiling, asked.burst),
      bucket.units - asked.owed + asked.rate * extract(epoch from instant - bucket.refilled_at)::double precision);
    -- A debt is paid off within a minute, however much one answer weighed.
    bucket.units := greatest(bucket.units, -greatest(asked.burst, 60 * asked.rate));
    ask := asked.nth;
    granted := greatest(least(asked.wanted, bucket.units), 0);
    remaining := bucket.units - granted;
    update metering.rate_buckets as b set units = remaining, refilled_at = instant
    where b.tenant_id = asked.tenant_id and b.kind = asked.kind;
    return next;
  end loop;
end
$$;
comment on function metering.lease(text[], text[], double precision[], double precision[], double precision[], double precision[],
  double precision[]) is
  'Takes units from token buckets, several at once, by the database''s clock. An edge passes for each: the limit''s rate and burst as it '
  'knows them, what it used without a lease (below zero: what it gives back), how much it wants, and, coming from elsewhere, what it '
  'knows to be the most that is left. Returns what was granted of it, and what remains; nothing for an unknown tenant.';
grant execute on function metering.lease(text[], text[], double precision[], double precision[], double precision[],
  double precision[], double precision[]) to rowhouse_edge;

--@ function metering.attend(uuid,boolean)
create function metering.attend(edge_id uuid, leaving boolean default false)
returns integer
language plpgsql
volatile
security definer -- an edge reaches the list through this alone
set search_path = ''
parallel unsafe
as $$
declare
  others integer;
begin
  delete from metering.edges where (id = edge_id and leaving) or seen_at < now() - '10 s'::interval;
  if not leaving then
    insert into metering.edges (id, seen_at) values (edge_id, now())
    on conflict (id) do update set seen_at = excluded.seen_at;
  end if;
  select count(*) into others from metering.edges where id <> edge_id;
  return others + 1;
end
$$;
comment on function metering.attend(uuid, boolean) is
  'Says that an edge runs, every few seconds, or that it ends. Returns how many run: those that said so in the last 10 seconds, and itself.';
grant execute on function metering.attend(uuid, boolean) to rowhouse_edge;
