import type { Acting, Rule, RuleFacts } from './types.ts';
import { append, NOBODYS, ONE, OTHER, plantDeliveries, plantEndpoints, TYPE, webhookRule } from './webhook-acting.ts';

const REPLAY =
  'webhook.replay(text,uuid,bigint,bigint,boolean,timestamp with time zone,timestamp with time zone,timestamp with time zone,integer)';
const EARLY = '2001-01-01';
const LATER = '2010-01-01';
const NOW = '2020-01-01';

const A = ({ facts }: { facts: RuleFacts }) => facts.world.tenants.A;

/** How many it would be, or are. */
async function replay(acting: Acting, from: string | number, to: string | number, more = ''): Promise<number> {
  const [row] = await acting.ok<{ events: number }>(
    `select webhook.replay($1, '${ONE}', $2, $3${more})::integer as events`,
    [A(acting), from, to],
  );
  return row?.events ?? -1;
}

const MAX = '9223372036854775807';
const rule = (title: string, check: Rule['check']): Rule => webhookRule(REPLAY, title, check, 'rowhouse_migrator');

/** Which events are delivered again, and when. */
export const webhookReplayRules: Rule[] = [
  rule('events of its tenant that the endpoint asks for are delivered again', async (acting) => {
    const { same, refused, ok, aside, facts } = acting;
    await plantEndpoints(acting, 'none');
    const [first, last] = [await append(acting), await append(acting)];
    await append(acting, { type: 'prove.other' });
    await append(acting, { tenant: 'B' });
    same(await replay(acting, 0, MAX, ', true'), 2, 'all events');
    same(await replay(acting, last, MAX, ', true'), 1, 'events from a position');
    same(
      await replay(acting, 0, MAX, `, true, from_time => now() + interval '1 hour'`),
      0,
      'events from a time to come',
    );
    const told = 'webhook_replay_invalid: these are more than 1 events';
    await refused(told, `select webhook.replay($1, '${ONE}', $2, $3, most => 1)`, [A(acting), first, last]);
    const backwards = 'webhook_replay_invalid: the range ends before it begins';
    await refused(backwards, `select webhook.replay($1, '${ONE}', $3, $2)`, [A(acting), first, last]);
    const times = `from_time => now(), to_time => now() - interval '1 second'`;
    await refused(backwards, `select webhook.replay($1, '${ONE}', 0, $2, ${times})`, [A(acting), MAX]);
    same(await replay(acting, last, last, ', true'), 1, 'events of one position');
    const named = 'select webhook.replay($1, $2, 0, 0)';
    await ok(named, [A(acting), OTHER]);
    await refused('webhook_endpoint_unknown', named, [facts.world.tenants.B, OTHER]);
    await refused('webhook_endpoint_unknown', named, [A(acting), NOBODYS]);
    await aside(async () => {
      await ok('set local role rowhouse_owner');
      await ok(`insert into ledger.event_sources (name, read_role, schema) values ('${TYPE}', 'admin', '{}')`);
      same(await replay(acting, 0, MAX, ', true'), 2, 'events that are for admins');
      await ok(`update ledger.event_sources set read_role = 'owner' where name = '${TYPE}'`);
      same(await replay(acting, 0, MAX, ', true'), 0, 'events that are for owners');
    });
  }),
  rule('what failed is delivered again, where it failed since', async (acting) => {
    await plantEndpoints(acting, 'none');
    const dead = { status: 'dead', dead: NOW, created: NOW } as const;
    await plantDeliveries(acting, [
      { ...dead, position: 1 },
      { ...dead, position: 2, place: "B's" },
      { ...dead, position: 3, place: "another's" },
      { ...dead, position: 4, dead: EARLY },
      { ...dead, position: 5, created: EARLY },
      { ...dead, position: 6, payload: '{}' },
      { ...dead, position: 1000 },
    ]);
    acting.same(await replay(acting, 0, 500, `, true, '${LATER}', '${LATER}'`), 1, 'what is counted');
  }),
  rule('some are delivered again, and what was before them and beside them stays', async (acting) => {
    const { ok, same, facts } = acting;
    await plantEndpoints(acting, 'none');
    const one = await append(acting);
    const beside = await append(acting, { type: 'prove.other' });
    const [dead, fresh, unsent] = [await append(acting), await append(acting), await append(acting)];
    await ok('set local role rowhouse_owner');
    await ok(
      `insert into ledger.entries (tenant_id, position, slot, table_name, operation, row_id, new)
       values ($1::text, $2, ledger.slot($1::text), '${TYPE}', 'emit', 's', '{}')`,
      [facts.world.tenants.B, one],
    );
    await ok('set local role rowhouse_dispatcher');
    const settled = { status: 'succeeded', position: one } as const;
    await plantDeliveries(acting, [
      settled,
      { ...settled, place: "B's" },
      { ...settled, place: "another's" },
      { ...settled, position: beside },
      { position: dead, status: 'dead', dead: NOW },
      { position: fresh },
      { position: unsent, place: "B's" },
      { position: unsent, place: "another's" },
    ]);
    same(await replay(acting, one, unsent), 4, 'how many');
    const attempts = 'select tenant_id, endpoint_id, position from webhook.attempts where endpoint_id = any ($1)';
    same(
      await ok(attempts, [[ONE, OTHER]]),
      [{ tenant_id: A(acting), endpoint_id: ONE, position: one }],
      'what is known of before',
    );
    const after = `select position, status, next_attempt_at is not null as due from webhook.deliveries
      where tenant_id = $1 and endpoint_id = '${ONE}' order by position`;
    same(
      await ok(after, [A(acting)]),
      [
        { position: one, status: 'pending', due: true },
        { position: beside, status: 'succeeded', due: false },
        { position: dead, status: 'pending', due: true },
        { position: fresh, status: 'pending', due: false },
      ],
      'what becomes of them',
    );
    // There is no order that they would have to read anew.
    const told = `select from webhook.endpoint_states where generation > 1 and endpoint_id = any ($1)`;
    same(await ok(told, [[ONE, OTHER]]), [], 'whose workers are told');
  }),
  rule('several wait for what an earlier replay has them wait for, and for nothing else', async (acting) => {
    const { ok, same, facts } = acting;
    await plantEndpoints(acting, 'none');
    const [first, last] = [await append(acting), await append(acting)];
    const next = new Date(Date.now() + 3_600_000).toISOString();
    const later = new Date(Date.now() + 7_200_000).toISOString();
    await plantDeliveries(acting, [
      { position: 1, next },
      { position: 2, next: later, place: "B's" },
      { position: 2, next: later, place: "another's" },
      { position: 2, next: 'infinity', key: 's' },
    ]);
    await ok('update webhook.deliveries set attempts_before = attempts where endpoint_id = any ($1)', [[ONE, OTHER]]);
    await plantDeliveries(acting, [
      // A retry.
      { position: 3, next: later },
      { position: first, status: 'succeeded' },
      { position: last, status: 'succeeded' },
    ]);
    same(await replay(acting, first, last), 2, 'how many');
    const places = `select position, round(100 * extract(epoch from next_attempt_at - $3::timestamptz))::integer as place
      from webhook.deliveries where tenant_id = $1 and endpoint_id = '${ONE}' and position = any ($2) order by position`;
    same(
      await ok(places, [A(acting), [first, last], next]),
      [
        { position: first, place: 1 },
        { position: last, place: 2 },
      ],
      'when they go',
    );
    await ok(`update webhook.deliveries set next_attempt_at = $2 where tenant_id = $1`, [A(acting), later]);
    same(await replay(acting, first, first), 1, 'how many are one');
    same(
      await ok(
        `select next_attempt_at <= clock_timestamp() as due from webhook.deliveries
         where tenant_id = $1 and endpoint_id = '${ONE}' and position = $2`,
        [facts.world.tenants.A, first],
      ),
      [{ due: true }],
      'whether one waits',
    );
  }),
];
