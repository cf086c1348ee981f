import { makeCrowd } from './backlog-acting.ts';
import { type Entry, plantBacklog, plantEndpoints, plantEntries, several } from './dispatch-acting.ts';
import { ALL, delivered, dispatchBacklogs } from './dispatch-rounds.ts';
import type { Rule } from './types.ts';
import { ONE, OTHER, TYPE, webhookRule } from './webhook-acting.ts';

const BACKLOGS = 'webhook.dispatch_backlogs(integer,integer)';
const HAND_OVER = 'webhook.hand_over(text[],smallint[],bigint[],bigint[],integer,text[])';

const THIRD = '00000000-0000-4000-8000-00000000a003';
const DISABLED = '00000000-0000-4000-8000-00000000a004';
const HIDDEN = 'prove.hidden';

const rule = (about: string, title: string, check: Rule['check']): Rule =>
  webhookRule(about, title, check, 'rowhouse_migrator');

const entry = (tenant: string, position: number, source = TYPE, operation: Entry['operation'] = 'emit'): Entry => ({
  tenant,
  position,
  source,
  operation,
});

const run = (from: number, count: number) => Array.from({ length: count }, (_, nth) => from + nth);

/** What webhooks are given of tenants that are set aside. */
export const webhookBacklogRules: Rule[] = [
  rule(HAND_OVER, 'an event goes to the endpoints of its own tenant that ask for it, once', async (acting) => {
    const { ok, same, facts } = acting;
    const { A, B } = facts.world.tenants;
    await ok(
      `insert into ledger.event_sources (name, read_role, schema) values ($1, 'owner', '{}'), ($2, 'admin', '{}')`,
      [HIDDEN, TYPE],
    );
    await plantEndpoints(acting, [
      { of: 'A', id: ONE, types: [TYPE], watermark: 3 },
      { of: 'A', id: OTHER, types: ['*'], watermark: -90 },
      { of: 'A', id: DISABLED, types: ['*'], enabled: false },
      { of: 'B', id: OTHER, types: ['prove.nothing'] },
      { of: 'B', id: THIRD, types: ['prove.d*'] },
    ]);
    await plantEntries(acting, [
      // Handed over before.
      ...[A, B].map((tenant) => entry(tenant, -100)),
      entry(A, -60, HIDDEN),
      entry(A, -59, 'prove.table', 'insert'),
      entry(A, -58, TYPE, 'insert'),
      entry(A, -57, 'prove.other'),
      entry(A, -56),
      entry(B, -55),
      entry(B, -54, 'prove.other'),
    ]);
    for (const tenant of [A, B]) await plantBacklog(acting, tenant, -80);
    const told = await dispatchBacklogs(acting, ALL);
    same(told, ['A a001', 'A a002', 'B a003'], 'which endpoints have something to do');
    same(
      await delivered(acting, -1000, -1),
      ['A a001 -56 prove.done', 'A a002 -56 prove.done', 'A a002 -57 prove.other', 'B a003 -55 prove.done'],
      'what is delivered',
    );
    same(
      await ok(
        `select endpoint_id, watermark, generation from webhook.endpoint_states where endpoint_id = any ($1) order by 1, 2`,
        [[ONE, OTHER, THIRD, DISABLED]],
      ),
      [
        // It would never be read.
        { endpoint_id: ONE, watermark: '-57', generation: '2' },
        { endpoint_id: OTHER, watermark: '-90', generation: '1' },
        { endpoint_id: OTHER, watermark: '0', generation: '1' },
        { endpoint_id: THIRD, watermark: '-56', generation: '2' },
        { endpoint_id: DISABLED, watermark: '0', generation: '1' },
      ],
      'up to where nothing waits',
    );
    same(await dispatchBacklogs(acting, ALL), [], 'which have something to do after that');
  }),
  rule(BACKLOGS, 'who has many endpoints is given no more deliveries in a round than others', async (acting) => {
    const { ok, same, facts } = acting;
    const { A, B } = facts.world.tenants;
    const { large: nobody } = await makeCrowd(acting);
    await ok('set local role rowhouse_owner');
    await plantEndpoints(acting, [
      ...several('A', TYPE, 9, 0),
      ...several('A', TYPE, 9, 100, false),
      ...several('B', TYPE, 1, 0),
    ]);
    const all = [A, B, nobody];
    await plantEntries(
      acting,
      all.flatMap((tenant) => run(-70, 40).map((position) => entry(tenant, position))),
    );
    for (const tenant of all) await plantBacklog(acting, tenant, -51);
    // No further than the cursor: what is behind it may not be settled.
    const reached = (tenant: string) =>
      ok(
        `select case when position < 0 then position::text when position = ledger.handed_position('webhooks', $1) then 'done' end as at
         from ledger.backlogs where consumer = 'webhooks' and tenant_id = $1`,
        [tenant],
      );
    for (const [a, b, deliveries] of [
      [-43, -42, 9 * 8 + 9],
      [-35, -33, 9 * 16 + 18],
      ['done', 'done', 9 * 20 + 20],
    ] as const) {
      await dispatchBacklogs(acting, 9);
      for (const [tenant, at] of [
        [A, a],
        [B, b],
        [nobody, 'done'],
      ] as const)
        same(await reached(tenant), [{ at: `${at}` }], `up to where ${tenant} is handed over`);
      same((await delivered(acting, -1000, -1)).length, deliveries, 'how many deliveries there are');
    }
  }),
];
