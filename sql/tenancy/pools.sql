--@ table tenancy.pools
create table tenancy.pools (
  name text collate "C" not null,
  url text not null,
  kind text collate "C" not null,
  connections integer not null default 64,
  enabled boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint pools_pkey primary key (name),
  constraint pools_name_form check (name ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
  constraint pools_url_form check (url ~ '^(https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?/?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?/?|unix:/[A-Za-z0-9._/-]+)$'),
  constraint pools_kind_known check (kind in ('shared', 'dedicated', 'replica')),
  constraint pools_connections_range check (connections between 1 and 1024)
);
comment on table tenancy.pools is 'The PostgRESTs that edges forward to. While none is shared, POSTGREST_URL of the edge is.';
comment on column tenancy.pools.url is '`http://host:port`, or `unix:/path` for a socket. Without a path: the edge sends the API''s own.';
comment on column tenancy.pools.kind is
  '`shared`: serves everybody. `dedicated`: the tenants and tiers whose settings name it. `replica`: reads, of everybody or of those that name it.';
comment on column tenancy.pools.connections is 'Connections that one edge opens to it.';

-- Settings and plans name a pool without a foreign key: a pool that is taken away in an emergency is not held back by
-- those who used it. They are served by the shared ones.
alter table tenancy.pools enable row level security;
alter table tenancy.pools force row level security;

--@ trigger touch on tenancy.pools
create trigger touch before update on tenancy.pools for each row execute function tenancy.touch();

--@ policy "The directory functions keep pools" on tenancy.pools
create policy "The directory functions keep pools" on tenancy.pools
  for all to rowhouse_owner using (true) with check (true);

--@ function tenancy.enabled_pools()
create function tenancy.enabled_pools()
returns table (name text, url text, kind text, connections integer)
language sql
stable
security definer -- the edge holds no grant on the directory
rows 8
set search_path = ''
parallel safe
begin atomic
  select name, url, kind, connections from tenancy.pools where enabled order by name;
end;
comment on function tenancy.enabled_pools() is 'Where edges may forward to.';
grant execute on function tenancy.enabled_pools() to rowhouse_edge;
