import { ADD_POLICY, CHANGE_POLICY, MAY_WRITE, type Mistake, OWN_ROWS, READ_POLICY, reading } from './mistake.ts';

const forever = reading('invoices', 'tenant_id = request.tenant_id() or true');
const inverted = reading('folders', 'tenant_id <> request.tenant_id()');
const literal = reading('invoices', `tenant_id = request.tenant_id() or tenant_id = 't_demo'`);

export const POLICY_MISTAKES: Mistake[] = [
  {
    name: 'somebody wrote `or true` to get on with the debugging',
    source: 'DeskcommCRM#386 (a check of the catalogue alone passes it); pgrls SEC011',
    plant: forever.plant,
    doctor: [`0008_policy_always_true "${READ_POLICY}" on app.invoices`],
    prove: {
      uproot: forever.uproot,
      only: { relations: ['v1.invoices'], families: ['read'] },
      at: /^v1\.invoices · select · viewer · read/,
    },
  },
  {
    name: 'a policy for reading is for everyone, since nobody said for whom',
    source: 'splinter 0024; pgrls SEC003, SEC008',
    plant: 'create policy "Anyone may look" on app.tags for select using (true)',
    doctor: [
      '0008_policy_always_true "Anyone may look" on app.tags',
      '0009_policy_to_public "Anyone may look" on app.tags',
    ],
    prove: {
      uproot: 'drop policy "Anyone may look" on app.tags',
      only: { relations: ['v1.tags'], families: ['read'] },
      at: /^v1\.tags · select · viewer · read/,
    },
  },
  {
    name: 'the comparison is the wrong way round',
    source: 'pgrls SEC004 (inverted check)',
    plant: inverted.plant,
    doctor: [`0010_policy_not_sealed "${READ_POLICY}" on app.folders`],
    prove: {
      uproot: inverted.uproot,
      only: { relations: ['v1.folders'], families: ['read'] },
      at: /^v1\.folders · select · viewer · read/,
    },
  },
  {
    name: 'the tenant of the demo is written into the policy',
    source: 'pgrls SEC021 (hard-coded literal)',
    plant: literal.plant,
    doctor: [`0010_policy_not_sealed "${READ_POLICY}" on app.invoices`],
    prove: { unreachable: 'it opens one tenant, and the throw-away tenants are others' },
  },
  {
    name: 'a row may be changed into anything: the check of the update is true',
    source: 'pgrls SEC006, SEC020',
    plant: `alter policy "${CHANGE_POLICY}" on app.tags with check (true)`,
    doctor: [`0008_policy_always_true "${CHANGE_POLICY}" on app.tags`],
    prove: {
      uproot: `alter policy "${CHANGE_POLICY}" on app.tags with check (${MAY_WRITE})`,
      only: { relations: ['v1.tags'], verbs: ['update'] },
      at: /^v1\.tags · update · owner · move/,
    },
  },
  {
    name: 'a policy for all verbs has no check: what it lets read, it lets write',
    source: 'pgrls SEC006; splinter 0024',
    plant: 'create policy "Labelled" on app.tags to tenant_user using (label is not null)',
    doctor: ['0007_policy_without_check "Labelled" on app.tags', '0010_policy_not_sealed "Labelled" on app.tags'],
    prove: {
      uproot: 'drop policy "Labelled" on app.tags',
      only: { relations: ['v1.tags'], verbs: ['insert'], families: ['tenant'] },
      at: /^v1\.tags · insert · owner · tenant · direct · a row for B/,
    },
  },
  {
    name: 'membership is looked up, and nothing ties it to the row',
    source: 'pgrls SEC005 (no reference to an own column); Supabase test 2b (11,000 ms)',
    plant: `create policy "Members look" on app.folders for select to tenant_user
      using (exists (select from tenancy.members as m where m.user_id = request.subject()))`,
    doctor: [
      '0010_policy_not_sealed "Members look" on app.folders',
      '0012_policy_calls_per_row "Members look" on app.folders',
      '0020_multiple_permissive_policies app.folders for tenant_user (select)',
    ],
    prove: {
      uproot: 'drop policy "Members look" on app.folders',
      only: { relations: ['v1.folders'], families: ['read'] },
      at: /^v1\.folders · select · viewer · read/,
    },
  },
  {
    name: 'some rows are public, of every tenant',
    source: 'pgrls SEC003; splinter 0006',
    plant: `create policy "The calendar shows prices" on app.bookings for select to tenant_user using (price is not null)`,
    doctor: ['0010_policy_not_sealed "The calendar shows prices" on app.bookings'],
    prove: {
      uproot: 'drop policy "The calendar shows prices" on app.bookings',
      only: { relations: ['v1.bookings'], families: ['read'] },
      at: /^v1\.bookings · select · viewer · read/,
    },
  },
  {
    name: 'the policy knows the tenant and not the member: viewers write',
    source: 'supabase#11745; captable#283 (stale role)',
    plant: `alter policy "${ADD_POLICY}" on app.tags with check (${OWN_ROWS})`,
    doctor: [`0016_policy_without_tenant_role "${ADD_POLICY}" on app.tags`],
    prove: {
      uproot: `alter policy "${ADD_POLICY}" on app.tags with check (${MAY_WRITE})`,
      only: { relations: ['v1.tags'], verbs: ['insert'], families: ['tenant'] },
      at: /^v1\.tags · insert · viewer · tenant · direct · a token from before a downgrade/,
    },
  },
  {
    name: 'a policy runs a function for every row',
    source: 'splinter 0003; pgrls PERF001; Supabase test 2d (178,000 ms)',
    plant: `create function app.is_own(wanted text) returns boolean language plpgsql stable set search_path = '' as $$ begin return wanted = request.tenant_id(); end $$;
      grant execute on function app.is_own(text) to tenant_user;
      alter policy "${READ_POLICY}" on app.invoices using (app.is_own(tenant_id))`,
    doctor: [`0012_policy_calls_per_row "${READ_POLICY}" on app.invoices`],
    prove: { unreachable: 'it is slow, and right' },
  },
  {
    name: 'nobody sees anything, so the two-user test of the isolation passes',
    source: 'dev.to (a published script: user B had no row); volunteer-training#32; Asymmetric-al/core#516',
    plant: `drop policy "${READ_POLICY}" on app.folders`,
    doctor: ['0006_policy_missing app.folders for tenant_user (select)'],
    prove: {
      uproot: `create policy "${READ_POLICY}" on app.folders for select to tenant_user
        using (${OWN_ROWS} and (select request.has_tenant_role('viewer')))`,
      only: { relations: ['v1.folders'], families: ['read'] },
      at: /^v1\.folders$/,
      kind: 'unfillable',
    },
  },
];
