import type { Acting, Rule } from './types.ts';

const rule = (about: string, title: string, check: Rule['check'], login: Rule['login'] = 'authenticator'): Rule => ({
  about,
  family: 'state',
  title,
  login,
  check,
});

const EMIT = 'select v1.emit_event($1, $2, $3) as emitted';
const LARGEST = 65_536;
const EVENT = `select tenant_id, type, subject, actor, event -> 'data' as data from v1.events where position = $1`;
const FORM = 'event_invalid: type: up to 100 characters, words of a-z, A-Z, 0-9 and _ with dots between them' as const;
const SUBJECT = 'event_invalid: subject: 1 to 255 characters, no control characters' as const;
const reserved = (word: string) => `event_invalid: types that begin with ${word} are the system's`;

const REFUSED: readonly [told: string, ...values: (string | null)[]][] = [
  ...[null, '', 'prove paid', 'prove..paid', 'p'.repeat(101)].map((type): [string, string | null] => [FORM, type]),
  ...['rowhouse', 'App', 'pg_prove'].map((word): [string, string] => [reserved(word), `${word}.paid`]),
  ...['', 's'.repeat(256), 'a\nb'].map((subject): [string, string, string] => [SUBJECT, 'prove.paid', subject]),
  [
    `event_too_large: its data has ${LARGEST + 1} bytes, ${LARGEST} are allowed`,
    'prove.paid',
    null,
    JSON.stringify('x'.repeat(LARGEST - 1)),
  ],
];

/** What A's ledger has of these, of which not everybody sees each. rules/facts.ts has emitted the first two. */
const TYPES = ['auth.api_keys', 'prove.told', 'auth.api_keys.inserted', 'tenancy.members.inserted'];
const seenTypes = async ({ ok }: Acting) =>
  (await ok<{ type: string }>('select distinct type from v1.events where type = any ($1)', [TYPES]))
    .map(({ type }) => type)
    .toSorted();

/** Who is shown which events, and which of their own members emit. */
export const eventRules: Rule[] = [
  rule(
    'v1.emit_event(text,text,jsonb)',
    'a member emits events of types that are not the system’s',
    async ({ enter, ok, same, refused, facts: { world } }) => {
      await enter('A_member', 'tenant_user');
      const emit = (...values: (string | null)[]) => [values[0] ?? null, values[1] ?? null, values[2] ?? null];
      const [row] = await ok<{ emitted: { id: string; position: number } }>(EMIT, [
        'prove.paid',
        'order 7',
        '{"n": 1}',
      ]);
      same(row?.emitted.id, `evt_${row?.emitted.position}`, 'its id');
      same(
        await ok(EVENT, [row?.emitted.position]),
        [
          {
            tenant_id: world.tenants.A,
            type: 'prove.paid',
            subject: 'order 7',
            actor: world.subject('A', 'member'),
            data: { n: 1 },
          },
        ],
        'the event',
      );
      await ok(EMIT, emit('p'.repeat(100), 's'.repeat(255), JSON.stringify('x'.repeat(LARGEST - 2))));
      for (const [told, ...values] of REFUSED) await refused(told, EMIT, emit(...values));
    },
  ),
  rule('v1.emit_event(text,text,jsonb)', 'a viewer emits none', async ({ enter, refused }) => {
    await enter('A_viewer', 'tenant_user');
    await refused('role_insufficient: a viewer emits no events', EMIT, ['prove.paid', null, null]);
  }),
  rule(
    'ledger.emit_event(text,text,jsonb)',
    'a worker emits events of the sealed tenant, and reads no entries',
    async ({ serve, ok, same, refused }) => {
      const emit = `select ledger.emit_event('prove.paid', null, null) is not null as emitted`;
      await refused('tenant_required', emit);
      await serve();
      same(await ok(emit), [{ emitted: true }], 'whether it was emitted');
      await refused('42501', 'select from ledger.entries');
    },
    'rowhouse_worker',
  ),
  rule('ledger.entries', 'a member is shown the events of what they may read', async (acting) => {
    const everyone = ['prove.told', 'tenancy.members.inserted'];
    for (const [who, seen] of [
      ['A_viewer', everyone],
      ['A_member', everyone],
      ['A_admin', TYPES.toSorted()],
      ['A_owner', TYPES.toSorted()],
    ] as const)
      await acting.aside(async () => {
        await acting.enter(who, 'tenant_user');
        acting.same(await seenTypes(acting), seen, `what ${who} is shown`);
      });
  }),
  rule(
    'ledger.entries',
    'a service is shown no event in the role of a member',
    async (acting) => {
      await acting.aside(async () => {
        await acting.enter('A_viewer', 'tenant_user');
        acting.same((await seenTypes(acting)).includes('prove.told'), true, 'a viewer is shown events');
      });
      await acting.serve();
      await acting.ok('set local role tenant_user');
      acting.same(await seenTypes(acting), [], 'what a service is shown');
    },
    'rowhouse_edge',
  ),
  rule(
    'ledger.position_at(timestamptz)',
    "a time is found among one's own entries, and where they are is all that is told",
    async ({ enter, ok, same, refused }) => {
      // Not the first tenant of all: a position before its own first one would be another's.
      await enter('B_owner', 'tenant_user');
      const found = `select v1.event_position('-infinity') as found`;
      same(await ok(found), await ok('select min("position") as found from v1.events'), 'the first');
      await refused('42501', 'select ledger.position_at(now())');
    },
  ),
  rule(
    'ledger.position_at(timestamptz)',
    'it is the first entry at a time or after it',
    async ({ ok, same }) => {
      // Of a new tenant: what a world is filled with has times and positions of its own.
      await ok(`select tenancy.create_tenant('t_prove_timed', 't-prove-timed', 'New', 'prove')`);
      await ok(`select auth.enter(auth.issue_token('t_prove_timed', 'prove', 'owner'))`);
      for (const type of ['prove.one', 'prove.other'])
        await ok(`select ledger.append_event('t_prove_timed', $1, null, null)`, [type]);
      await ok('set local role rowhouse_dispatcher');
      const entries = await ok<{ found: string; time: string }>(
        `select "position" as found, occurred_at::text as time from ledger.entries where tenant_id = 't_prove_timed' order by 1`,
      );
      same(entries.length > 3, true, 'there are some');
      for (const { found, time } of [...entries, { found: null, time: 'infinity' }])
        same(await ok('select ledger.position_at($1) as found', [time]), [{ found }], `the entry of ${time}`);
    },
    'rowhouse_migrator',
  ),
];
