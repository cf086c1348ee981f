import { token } from './requests.ts';
import type { Rule } from './types.ts';

const rule = (about: string, title: string, check: Rule['check']): Rule => ({
  about,
  family: 'gate',
  title,
  login: 'rowhouse_edge',
  check,
});

const OPEN = 'select tenant_role, mark from ledger.open_stream($1, $2, 0)';
const NO_MEMBER = "token_invalid: the role of the token is not a member's";
const FORGED = 'token_invalid: the signature does not match';

/** What is said to a stream that has seen an event. */
const SEEN = `select refusal ->> 'code' as refusal from ledger.read_streams(jsonb_build_array(jsonb_build_object(
  'token', $1::text, 'after', 0, 'settled', 0, 'seen', $2::bigint, 'entries', 1)), 1000) where type is null`;

interface Stream {
  tenants: string[] | null;
  hidden: boolean;
  role: string | null;
  refusal: string | null;
}

/** Whose events each of several streams is given, and whether any that only admins see. */
const READ = `select array_agg(distinct event::jsonb ->> 'tenantid') filter (where type is not null) as tenants,
    coalesce(bool_or(type like 'auth.api_keys%'), false) as hidden, max(tenant_role) as role, max(refusal ->> 'code') as refusal
  from ledger.read_streams((
    select jsonb_agg(jsonb_build_object('token', token, 'after', 0, 'settled', 0, 'types', '{auth.api_keys%,tenancy.members%}'::text[]))
    from unnest($1::text[]) as token), 1000000000)
  group by nth order by nth`;

/** What the edge reads for streams: as the bearer of a token, and for no longer than it takes. */
export const streamRules: Rule[] = [
  rule('ledger.open_stream(text,bigint,bigint)', 'a stream is opened for members', async (acting) => {
    const { ok, same, refused, aside, facts } = acting;
    await aside(async () => {
      const [opened] = await ok(OPEN, [token(acting, 'A_viewer'), null]);
      const [session] = await ok('select current_user as role, max("position") > 0 as sees from v1.events');
      same(opened?.tenant_role, 'viewer', 'as whom it is opened');
      same(session, { role: 'tenant_user', sees: true }, 'the role that events are read in');
    });
    await refused(FORGED, OPEN, [token(acting, "PostgREST's key"), null]);
    await refused(NO_MEMBER, OPEN, [token(acting, 'operator'), null]);
    const [service] = await ok<{ token: string }>(`select auth.issue_service_token($1, 'prove') as token`, [
      facts.world.tenants.A,
    ]);
    await refused(NO_MEMBER, OPEN, [service?.token, null]);
  }),
  rule(
    'ledger.open_stream(text,bigint,bigint)',
    "a stream is resumed behind an event of its tenant's",
    async (acting) => {
      const last: Record<string, string> = {};
      for (const letter of ['A', 'B'])
        await acting.aside(async () => {
          await acting.enter(`${letter}_owner`, 'tenant_user');
          const [row] = await acting.ok<{ last: string }>('select max("position") as last from v1.events');
          last[letter] = row?.last ?? '';
        });
      await acting.aside(async () => void (await acting.ok(OPEN, [token(acting), last.A])));
      const told = 'event_unknown: the ledger has no such event, or keeps it no longer';
      await acting.refused(told, OPEN, [token(acting), last.B]);
      for (const [letter, refusal] of Object.entries({ A: null, B: 'event_unknown' }))
        acting.same(
          await acting.ok(SEEN, [token(acting), last[letter]]),
          [{ refusal }],
          `behind an event of ${letter}'s`,
        );
    },
  ),
  rule(
    'ledger.read_streams(jsonb,integer)',
    'each of many streams is given what its own bearer sees, and leaves no seal behind',
    async (acting) => {
      const { ok, same, refused, facts } = acting;
      const { A, B } = facts.world.tenants;
      const names = ['A_viewer', 'B_owner', "PostgREST's key", 'A_admin', 'operator'];
      const streams = await ok<Stream>(READ, [names.map((name) => token(acting, name))]);
      const given = (tenant: string, hidden: boolean, role: string): Stream => ({
        tenants: [tenant],
        hidden,
        role,
        refusal: null,
      });
      const none: Stream = {
        tenants: null,
        hidden: false,
        role: null,
        refusal: 'token_invalid',
      };
      same(
        streams,
        [given(A, false, 'viewer'), given(B, true, 'owner'), none, given(A, true, 'admin'), none],
        'what they are given',
      );
      await refused('tenant_required', 'select request.tenant_id()');
    },
  ),
  rule('ledger.review_tokens(text[])', 'tokens are reviewed, and leave no seal behind', async (acting) => {
    const { ok, same, refused } = acting;
    const names = ['A_viewer', "PostgREST's key", 'B_owner', 'operator', 'A_admin'];
    same(
      await ok(`select tenant_role, refusal ->> 'code' as refusal from ledger.review_tokens($1) order by nth`, [
        names.map((name) => token(acting, name)),
      ]),
      [
        { tenant_role: 'viewer', refusal: null },
        { tenant_role: null, refusal: 'token_invalid' },
        { tenant_role: 'owner', refusal: null },
        { tenant_role: null, refusal: 'token_invalid' },
        { tenant_role: 'admin', refusal: null },
      ],
      'what is said of each',
    );
    await refused('tenant_required', 'select request.tenant_id()');
  }),
];
