import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ProveOptions } from '../../functions/prove/types.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { brief, proveStack, withFlaw } from './proving.ts';

// Flaws as they are made in earnest: each must be found, with a line that shows it.

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack();
});

afterAll(() => stack?.stop());

const own = 'tenant_id = request.tenant_id()';
/** A table that never saw protect(): its policies are there, what they lean on is not. */
const byHand = (name: string, columns: string) => `
  create table app.${name} (tenant_id tenancy.tenant_id not null default request.tenant_id(), id uuid not null default uuidv7(), ${columns});
  alter table app.${name} enable row level security, force row level security;
  create policy "all" on app.${name} to tenant_user using (${own}) with check (${own});
  create view v1.${name} with (security_invoker = true) as select * from app.${name};
  grant select, insert, update, delete on app.${name}, v1.${name} to tenant_user`;
const drop = (name: string) => `drop view v1.${name}; drop table app.${name}`;

interface Flaw {
  name: string;
  plant: string;
  uproot: string;
  only: NonNullable<ProveOptions['only']>;
  /** What the leak is found at. */
  at: RegExp;
}

const flaws: Flaw[] = [
  {
    name: 'a view without security_invoker over a table without row-level security',
    plant: `create table app.memos (tenant_id tenancy.tenant_id not null, id uuid primary key, body text not null);
      create view v1.memos as select * from app.memos; grant select on v1.memos to tenant_user`,
    uproot: drop('memos'),
    only: { relations: ['v1.memos'], families: ['read'] },
    at: /^v1\.memos · select · owner · read/,
  },
  {
    name: 'a policy for reading that asks nothing',
    plant: 'create policy oops on app.files for select to tenant_user using (true)',
    uproot: 'drop policy oops on app.files',
    only: { relations: ['v1.files'], families: ['read', 'filter', 'count'] },
    at: /^v1\.files · select · viewer · count/,
  },
  {
    name: 'a policy for updating that asks nothing',
    plant: `create policy oops on app.files for update to tenant_user using (true) with check (true);
      create policy oops_too on app.files for select to tenant_user using (true)`,
    uproot: 'drop policy oops on app.files; drop policy oops_too on app.files',
    only: { relations: ['v1.files'], verbs: ['update'] },
    at: /^v1\.files · update · viewer · row · direct · name of B's row/,
  },
  {
    name: 'a policy for updating that asks nothing, where the one for reading is right',
    plant: 'create policy oops on app.files for update to tenant_user using (true) with check (true)',
    uproot: 'drop policy oops on app.files',
    only: { relations: ['v1.files'], verbs: ['update'] },
    at: /^v1\.files · update · viewer · row · direct · name of all rows, unfiltered/,
  },
  {
    name: 'a policy for deleting that asks nothing, where the one for reading is right',
    plant: 'create policy oops on app.jobs for delete to tenant_user using (true)',
    uproot: 'drop policy oops on app.jobs',
    only: { relations: ['v1.jobs'], verbs: ['delete'] },
    at: /^v1\.jobs · delete · viewer · row · direct · all rows, unfiltered/,
  },
  {
    name: 'a policy without a check on what is written',
    plant: 'create policy oops on app.files for insert to tenant_user with check (true)',
    uproot: 'drop policy oops on app.files',
    only: { relations: ['v1.files'], verbs: ['insert'], families: ['tenant', 'bulk'] },
    at: /^v1\.files · insert · owner · tenant · direct · a row for B/,
  },
  {
    name: 'a policy for deleting that asks nothing',
    plant: `create policy oops on app.jobs for delete to tenant_user using (true);
      create policy oops_too on app.jobs for select to tenant_user using (true)`,
    uproot: 'drop policy oops on app.jobs; drop policy oops_too on app.jobs',
    only: { relations: ['v1.jobs'], verbs: ['delete'] },
    at: /^v1\.jobs · delete · viewer · row/,
  },
  {
    name: 'a definer function that looks a member up by name alone',
    plant: `create function v1.find_member(user_id text) returns setof v1.members language sql stable security definer set search_path = ''
      begin atomic select tenant_id, members.user_id, role, created_at, updated_at from tenancy.members where members.user_id = find_member.user_id; end;
      grant execute on function v1.find_member(text) to tenant_user`,
    uproot: 'drop function v1.find_member(text)',
    only: { relations: ['v1.find_member()', 'v1.members'], verbs: ['call'] },
    at: /^v1\.find_member\(\) · call · viewer · arguments/,
  },
  {
    name: 'a unique key without the tenant',
    plant: byHand(
      'vouchers',
      'code text not null, constraint vouchers_pkey primary key (tenant_id, id), constraint vouchers_code unique (code)',
    ),
    uproot: drop('vouchers'),
    only: { relations: ['v1.vouchers'], families: ['unique'] },
    at: /^v1\.vouchers · insert · owner · unique · direct · app\.vouchers_code/,
  },
  {
    name: 'a foreign key without the tenant',
    plant: `${byHand('shelves', 'label text not null, constraint shelves_pkey primary key (id)')};
      ${byHand('books', 'shelf_id uuid not null, constraint books_pkey primary key (tenant_id, id), constraint books_shelf foreign key (shelf_id) references app.shelves (id)')}`,
    uproot: `${drop('books')}; ${drop('shelves')}`,
    only: { relations: ['v1.books'], families: ['foreign key'] },
    at: /^v1\.books · insert · owner · foreign key · direct · books_shelf/,
  },
  {
    name: 'a sensitive relation granted to those without a token’s rights',
    plant:
      'grant usage on schema v1 to operator; grant select on v1.files to operator; grant usage on schema app to operator; grant select on app.files to operator; create policy oops on app.files for select to operator using (true)',
    uproot:
      'drop policy oops on app.files; revoke all on app.files, v1.files from operator; revoke usage on schema app, v1 from operator',
    only: { relations: ['v1.files'], families: ['read'] },
    at: /^v1\.files · select · operator · read/,
  },
];

test.each(flaws)('finds $name', async ({ plant, uproot, only, at }) => {
  const report = await withFlaw(stack, { plant, uproot }, { only });
  const leak = report.findings.find((finding) => finding.kind === 'leak' && at.test(finding.at));
  expect(leak, brief(report.findings).join('\n') || 'nothing was found').toBeDefined();
  expect(leak?.curl).toMatch(/^curl -i .*Authorization: Bearer \$(?:A_\w+|operator)"/);
  expect(report.leaks).toBeGreaterThan(0);
});

/** A function of the gate with one condition less; more of them are in mistakes/gate.ts. */
const gateFlaws: [name: string, routine: string, from: string, to: string, at: RegExp][] = [
  [
    'takes expired tokens',
    'auth.verify_token(text)',
    '<= now_epoch',
    '<= 0',
    /^v1\.files · session · authenticator as tenant_user · setting/,
  ],
  [
    'takes tokens that PostgREST’s key has signed',
    'auth.signed_claims(text)',
    `auth.encode_base64url(convert_to(format('{"alg":"HS256","typ":"JWT","kid":"%s","seal":"%s"}'::text, key.kid, auth.encode_base64url(extensions.hmac(convert_to(jws.payload, 'UTF8'::name), key.secret, 'sha256'::text))), 'UTF8'::name))`,
    `split_part(signed_claims.token, '.'::text, 1)`,
    /token · direct · signed with PostgREST's key/,
  ],
  [
    'seals a transaction twice',
    'auth.enter(text)',
    `entered <> '' and`,
    'false and',
    /^v1\.files · session · authenticator as tenant_user · sealed · session · sealed for A, then for B/,
  ],
  [
    'does not look at X-Tenant-Id',
    'auth.admit_request()',
    `'x-tenant-id' <> split_part`,
    `'x-tenant-id' <> headers ->> 'x-tenant-id' and '' <> split_part`,
    /header · direct · X-Tenant-Id/,
  ],
];

test.each(gateFlaws)('finds a gate that %s', async (_name, routine, from, to, at) => {
  const { rows } = await stack.admin.query('select pg_get_functiondef($1::regprocedure) as source', [routine]);
  const source = rows[0].source as string;
  expect(source).toContain(from);
  await stack.admin.query(source.replace(from, to));
  try {
    const only = {
      relations: ['v1.files'],
      verbs: ['select' as const, 'session' as const],
      families: ['token' as const, 'header' as const, 'setting' as const, 'sealed' as const],
    };
    const report = await proveStack(stack, { only }, 'sessions');
    expect(brief(report.findings.filter((finding) => finding.kind === 'leak' && at.test(finding.at)))).not.toEqual([]);
  } finally {
    await stack.admin.query(source);
  }
});

test('finds nothing there once the flaws are gone', async () => {
  const report = await proveStack(stack, { quick: true, only: { relations: ['v1.files', 'v1.jobs', 'v1.members'] } });
  expect(brief(report.findings)).toEqual([]);
});

test('stops at the first leak when asked to', async () => {
  const flaw = flaws[1] as Flaw;
  const report = await withFlaw(stack, flaw, { only: flaw.only, stopAtFirstLeak: true });
  expect(report.leaks).toBeGreaterThan(0);
  expect(report.probes).toBeLessThan(100);
});
