import { byHand, drop, type Mistake } from './mistake.ts';

export const FUNCTION_MISTAKES: Mistake[] = [
  {
    name: 'a definer function is open to clients, and its caller says where names are looked up',
    source: 'splinter 0011, 0029; pgrls SEC014, SEC015',
    plant: `create function v1.tenant_name(slug text) returns text language sql stable security definer as
        $$ select name from tenancy.tenants where tenants.slug = $1 $$;
      grant execute on function v1.tenant_name(text) to tenant_user`,
    doctor: [
      '0068_definer_not_listed v1.tenant_name(text) for tenant_user',
      '0070_definer_without_search_path v1.tenant_name(text)',
    ],
    prove: {
      uproot: 'drop function v1.tenant_name(text)',
      only: { relations: ['v1.tenant_name()', 'v1.tenant'], verbs: ['call'] },
      at: /^v1\.tenant_name\(\) · call · viewer · arguments/,
    },
  },
  {
    name: 'a superuser made the function, and so it knows no policies',
    source: 'nazarli-shabnam/clevis#335 (all was tested as superuser); pgrls SEC014',
    plant: `reset role; create function v1.find_by_number(number text) returns setof v1.invoices language sql stable security definer set search_path = ''
        begin atomic select i.* from app.invoices as i where i.number = find_by_number.number; end;
      grant execute on function v1.find_by_number(text) to tenant_user`,
    doctor: [
      '0068_definer_not_listed v1.find_by_number(text) for tenant_user',
      '0078_owner_unexpected function v1.find_by_number(text)',
    ],
    prove: {
      uproot: 'drop function v1.find_by_number(text)',
      by: 'admin',
      only: { relations: ['v1.find_by_number()', 'v1.invoices'], verbs: ['call'] },
      at: /^v1\.find_by_number\(\) · call · viewer · arguments/,
    },
  },
  {
    name: 'a trigger runs as the owner and copies rows to where no policy is',
    source: 'postgresql.org ddl-rowsecurity; pgrls SEC013',
    plant: byHand('activity', 'id uuid not null default uuidv7(), what text not null, primary key (tenant_id, id)', [
      `create function app.note_activity() returns trigger language plpgsql security definer set search_path = '' as
         $$ begin insert into app.activity (tenant_id, what) values (new.tenant_id, new.number || ' for ' || new.customer); return null; end $$`,
      'create trigger note_activity after insert on app.invoices for each row execute function app.note_activity()',
    ]),
    doctor: ['0001_rls_disabled app.activity', '0069_definer_trigger_not_listed app.note_activity()'],
    prove: {
      uproot: `drop trigger note_activity on app.invoices; drop function app.note_activity(); ${drop('activity')}`,
      only: { relations: ['v1.activity', 'v1.invoices'], families: ['read'] },
      at: /^v1\.activity · select · viewer · read/,
    },
  },
  {
    name: 'a function that clients call puts their words into SQL',
    source: 'landscape 2.3; PostgREST docs on dynamic SQL',
    plant: `create function v1.sorted_invoices(by text) returns setof v1.invoices language plpgsql stable set search_path = '' as
        $$ begin return query execute 'select * from v1.invoices order by ' || by; end $$;
      grant execute on function v1.sorted_invoices(text) to tenant_user`,
    doctor: ['0072_dynamic_sql_exposed v1.sorted_invoices(text)'],
    prove: { unreachable: 'what it runs, it runs as its caller: the seal holds (test/isolation/seal.test.ts)' },
  },
  {
    name: 'functions are for PUBLIC, as PostgreSQL makes them',
    source: 'PostgREST db_authz.rst; splinter 0028',
    plant: `alter default privileges for role rowhouse_owner grant execute on functions to public;
      create function v1.ping() returns text language sql return 'pong'`,
    doctor: [
      '0021_public_grant function v1.ping()',
      '0031_default_privileges_open functions of rowhouse_owner for public',
    ],
    prove: { unreachable: 'the gate lets nobody in without a token' },
  },
  {
    name: 'a function says that it leaks nothing, to get at an index',
    source: 'breeze#2786; Axinom/mosaic-media-template#185 (texticlike marked LEAKPROOF); pgrls SEC017',
    plant: `reset role; create function app.resembles(text, text) returns boolean language sql immutable leakproof return $1 ilike $2;
      alter function app.resembles(text, text) owner to rowhouse_owner`,
    doctor: ['0076_leakproof_function app.resembles(text,text)'],
    prove: { unreachable: 'PostgREST calls operators in filters, not functions' },
  },
  {
    name: 'without a tenant the accessor answers null, and the worker sees nothing and says nothing',
    source: 'raia-live/amfs#177 (all background output lost); supabase#7792',
    plant: `create or replace function request.tenant_id() returns text language sql stable security invoker parallel safe
      return nullif(split_part(request.seal(), ' ', 1), '_')`,
    doctor: ['0123_accessor_fails_silently request.tenant_id()'],
    prove: { unreachable: 'nothing is shown that should not be' },
  },
];
