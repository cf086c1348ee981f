import { makeCrowd } from './backlog-acting.ts';
import { drawPositions, type Entry, plantBacklog, plantEndpoints, plantEntries, several } from './dispatch-acting.ts';
import { delivered, dispatch, holdSlots } from './dispatch-rounds.ts';
import type { Rule } from './types.ts';
import { ONE, OTHER, TYPE, webhookRule } from './webhook-acting.ts';

const DISPATCH = 'webhook.dispatch(integer,integer,text[])';
const HEARD = 'webhook.heard_entries(text[],smallint[],bigint[],bigint[],integer,text[])';
const AWAIT = 'webhook.await_dispatch(text)';
const WIDE = 'webhook.wide_listeners()';

const NOBODY = 't_prove_nobody';

const rule = (about: string, title: string, check: Rule['check']): Rule =>
  webhookRule(about, title, check, 'rowhouse_migrator');

/** What becomes of a slot's events. */
export const webhookDispatchRules: Rule[] = [
  rule(
    DISPATCH,
    'a round gives events to the endpoints of their own tenants, but for who is set aside',
    async (acting) => {
      const { ok, same, aside, facts } = acting;
      const { A, B } = facts.world.tenants;
      await holdSlots(acting);
      await plantEndpoints(acting, [
        { of: 'A', id: ONE, types: [TYPE] },
        { of: 'A', id: OTHER, types: ['prove.other'] },
        { of: 'B', id: OTHER, types: [TYPE] },
      ]);
      const [first, second, last] = (await drawPositions(acting, 3)) as [number, number, number];
      const at = (tenant: string, position: number): Entry => ({ tenant, position, source: TYPE });
      // One has nothing new.
      await plantEntries(acting, [at(NOBODY, -5), at(A, first), at(B, second), at(A, last)]);
      const ofA = [`A a001 ${first} ${TYPE}`, `A a001 ${last} ${TYPE}`];
      const ofB = `B a002 ${second} ${TYPE}`;
      await aside(async () => {
        same(await dispatch(acting, last), ['A a001', 'B a002'], 'which endpoints have something to do');
        same(await delivered(acting, first, last), [...ofA, ofB], 'what is delivered');
      });
      const told = await dispatch(acting, last, [B, NOBODY]);
      same(told, ['A a001'], 'which have something to do where one is set aside');
      same(await delivered(acting, first, last), ofA, 'what is delivered then');
      const setAside = `select tenant_id from ledger.backlogs where consumer = 'webhooks' and tenant_id = any ($1)`;
      same(await ok(setAside, [[A, B, NOBODY]]), [{ tenant_id: B }], 'who is set aside');
      // Behind what the cursor has passed.
      await plantBacklog(acting, B, -9);
      await plantEntries(acting, [at(B, -8)]);
      for (const wide of [[], [B]]) same(await dispatch(acting, last, wide), [], 'what is left while one is set aside');
    },
  ),
  rule(HEARD, 'of each range its entries are looked at, but for those of who is set aside', async (acting) => {
    const { ok, same } = acting;
    const { large, small, elsewhere, slots } = await makeCrowd(acting);
    const at = (tenant: string, ...positions: number[]): Entry[] =>
      positions.map((position) => ({ tenant, position, source: TYPE }));
    await plantEntries(acting, [...at(large, -200, -60, -59, -5), ...at(small, -58), ...at(elsewhere, -57)]);
    for (const [tenants, asides] of [
      [null, [small]],
      [[large, elsewhere], null],
    ])
      same(
        await ok(
          `select nth, entries, last_position from webhook.hand_over(tenants => $1, slots => $2, afters => '{-100,-100}',
             uptos => '{-10,-10}', max_entries => 9, asides => $3) order by nth`,
          [tenants, tenants ? null : slots, asides],
        ),
        [
          { nth: '1', entries: 2, last_position: '-59' },
          { nth: '2', entries: 1, last_position: '-57' },
        ],
        `what is looked at of ${tenants ? 'tenants' : 'slots'}`,
      );
  }),
  rule(WIDE, 'who has many enabled endpoints is known', async (acting) => {
    const { ok, same, facts } = acting;
    const { A, B } = facts.world.tenants;
    await plantEndpoints(acting, [
      ...several('A', TYPE, 9, 0),
      ...several('B', TYPE, 4, 0),
      ...several('B', TYPE, 9, 100, false),
    ]);
    const wide = 'select tenant from unnest(webhook.wide_listeners()) as tenant where tenant in ($1, $2)';
    same(await ok(wide, [A, B]), [{ tenant: A }], 'who has many');
  }),
  rule(
    AWAIT,
    'who waits for a round is told how far it is, and keeps nobody but their own tenant waiting',
    async (acting) => {
      const { ok, same, facts } = acting;
      const { A, B } = facts.world.tenants;
      await ok('set local role rowhouse_dispatcher');
      await plantBacklog(acting, A, -9);
      await plantBacklog(acting, B, -8);
      await ok(
        `insert into ledger.backlogs (tenant_id, consumer, slot, position) values ($1::text, 'prove', ledger.slot($1::text), -7)`,
        [A],
      );
      same(await ok('select webhook.await_dispatch($1) as position', [A]), [{ position: '-9' }], 'how far it is');
      same(
        await ok(`select tenant_id, consumer from ledger.backlogs where tenant_id in ($1, $2) and xmax::text <> '0'`, [
          A,
          B,
        ]),
        [{ tenant_id: A, consumer: 'webhooks' }],
        'whose backlog is locked',
      );
      same(
        await ok(`select slot from ledger.slots('webhooks', 0) where holder = pg_backend_pid()`),
        [],
        'which slots it keeps',
      );
    },
  ),
];
