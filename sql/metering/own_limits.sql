--@ function metering.own_limits()
create function metering.own_limits()
returns jsonb
language sql
stable
security definer -- members hold no grant on the directory
set search_path = ''
parallel safe
begin atomic
  select jsonb_build_object('rates', settings -> 'limits', 'shadow', settings -> 'shadow', 'concurrency', settings -> 'concurrency',
    'statement_timeout_ms', (settings -> 'statementTimeoutMs')::bigint)
  from tenancy.settings_of(request.tenant_id()) as settings;
end;
comment on function metering.own_limits() is 'The limits of the sealed tenant. What is left of them, metering.own_buckets() says.';
grant execute on function metering.own_limits() to tenant_user;

--@ function metering.own_buckets()
create function metering.own_buckets()
returns jsonb
language sql
stable
security definer -- members hold no grant on the buckets
set search_path = ''
parallel safe
begin atomic
  select jsonb_object_agg(limits.kind, floor(least(burst, coalesce(units + rate * passed, burst))))
  from jsonb_each(metering.own_limits() -> 'rates') as limits (kind, bucket)
  cross join lateral (select (bucket -> 'rate')::double precision, (bucket -> 'burst')::double precision) as numbers (rate, burst)
  left join metering.rate_buckets as b on b.tenant_id = request.tenant_id() and b.kind = limits.kind
  cross join lateral (select extract(epoch from clock_timestamp() - refilled_at)::double precision) as clock (passed);
end;
comment on function metering.own_buckets() is
  'About what is left of each limit of the sealed tenant: edges hold leases of their own for a tenth of a second.';
grant execute on function metering.own_buckets() to tenant_user;
