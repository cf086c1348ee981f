-- Two demo tenants with members of each role. Safe to repeat; run as the migrator.
do $$
declare
  demo record;
begin
  for demo in
    select * from (values
      ('t_acme', 'acme', 'Acme Corporation', 'ada', 'alan', 'amy', 'ann'),
      ('t_globex', 'globex', 'Globex Industries', 'grace', 'george', 'gus', 'gina')
    ) as tenants (id, slug, name, owner, admin, member, viewer)
  loop
    continue when exists (select from tenancy.tenants where id = demo.id);
    perform tenancy.create_tenant(demo.id, demo.slug, demo.name, demo.owner);
    insert into tenancy.members (tenant_id, user_id, role) values
      (demo.id, demo.admin, 'admin'), (demo.id, demo.member, 'member'), (demo.id, demo.viewer, 'viewer');
  end loop;
  insert into auth.operators (subject) values ('operator') on conflict do nothing;
end
$$;
