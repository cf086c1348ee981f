import type { Acting, Rule } from './types.ts';
import {
  append,
  ONE,
  OTHER,
  type Place,
  placeOf,
  plantDeliveries,
  plantEndpoints,
  webhookRule,
} from './webhook-acting.ts';

/** As sql/webhook/deliveries.sql calls them; `now` is due as well, since a moment ago. */
type State = 'settled' | 'fresh' | 'due' | 'blocked' | 'now';
const NEXT: Partial<Record<State, string>> = { due: '2020-01-01', blocked: 'infinity' };
const MAX = '9223372036854775807';

type Line = readonly [place: Place, position: string | number, key: string, before: State, after?: State];

const STATES = `select tenant_id, endpoint_id, position, ordering_key,
    case when status <> 'pending' then 'settled' when next_attempt_at is null then 'fresh' when next_attempt_at = 'infinity' then 'blocked'
      when next_attempt_at = '${NEXT.due}' then 'due' else 'now' end as state
  from webhook.deliveries where endpoint_id in ('${ONE}', '${OTHER}')`;

async function plant(acting: Acting, lines: readonly Line[]): Promise<void> {
  await plantDeliveries(
    acting,
    lines.map(([place, position, key, before]) => {
      const next = NEXT[before];
      return {
        place,
        position,
        key,
        status: before === 'settled' ? 'succeeded' : 'pending',
        ...(next ? { next } : {}),
      };
    }),
  );
}

/** In which order deliveries of an ordered endpoint go, once some are replayed. */
export const webhookOrderRules: Rule[] = [
  webhookRule(
    'webhook.line_up(text,uuid,text[],bigint[])',
    'what is replayed waits for an earlier one of its order, and nothing else waits for it or does',
    async (acting) => {
      const { ok, same, facts } = acting;
      await plantEndpoints(acting, 'subject');
      const s = await append(acting);
      const between = await append(acting, { type: 'prove.other' });
      const t = await append(acting, { subject: 't' });
      const lines: Line[] = [
        // Nothing that the first of s would have to wait for: of another tenant, endpoint or order, or settled.
        ["B's", 1, 's', 'due'],
        ["another's", 1, 's', 'due'],
        ['its', 1, 'other', 'due'],
        ['its', 2, 's', 'settled'],
        // At the watermark: whoever reads has passed it.
        ['its', 3, 's', 'fresh'],
        ['its', 4, 's', 'due'],
        ['its', 5, 's', 'settled'],
        ['its', 6, 's', 'fresh', 'blocked'],
        ["B's", 6, 's', 'fresh'],
        ["another's", 6, 's', 'fresh'],
        ['its', 7, 'other', 'fresh'],
        ["B's", 8, 's', 'due'],
        ["another's", 8, 's', 'due'],
        ['its', s, 's', 'settled', 'blocked'],
        ['its', between, 's', 'fresh'],
        ['its', MAX, 's', 'fresh'],
        // The same of t, which has none that is due.
        ["B's", 9, 't', 'due'],
        ["another's", 9, 't', 'due'],
        ['its', 9, 't', 'settled'],
        ['its', 10, 't', 'fresh', 'now'],
        ["B's", 10, 't', 'blocked'],
        ["another's", 10, 't', 'blocked'],
        ['its', t, 't', 'settled', 'blocked'],
      ];
      await plant(acting, lines);
      await ok(`select webhook.replay($1, $2, $3, $4)`, [...placeOf('its', facts), s, t]);
      const rows =
        await ok<Record<'tenant_id' | 'endpoint_id' | 'position' | 'ordering_key' | 'state', string>>(STATES);
      same(
        rows
          .map((row) => [row.tenant_id, row.endpoint_id, row.position, row.ordering_key, row.state].join(' '))
          .toSorted(),
        lines
          .map(([place, position, key, before, after = before]) =>
            [...placeOf(place, facts), position, key, after].join(' '),
          )
          .toSorted(),
        'what becomes of them',
      );
      // Whoever settles it at that moment has to see what comes after.
      const locked =
        'select xmax::text <> $3 as locked from webhook.deliveries where tenant_id = $1 and endpoint_id = $2 and position = 4';
      same(await ok(locked, [...placeOf('its', facts), '0']), [{ locked: true }], 'whether the first one is locked');
      const changed = `select tenant_id, endpoint_id from webhook.endpoint_states where generation > 1 and endpoint_id = any ($1)`;
      const [tenant_id, endpoint_id] = placeOf('its', facts);
      same(await ok(changed, [[ONE, OTHER]]), [{ tenant_id, endpoint_id }], 'whose workers are told');
    },
    'rowhouse_migrator',
  ),
  webhookRule(
    'webhook.remove_deliveries()',
    'what a removed tenant was sent goes with it, and nothing else does',
    async (acting) => {
      const { ok, same, facts } = acting;
      const { A } = facts.world.tenants;
      await ok(`select tenancy.create_tenant('t_prove_new', 't-prove-new', 'New', 'prove')`);
      await ok('set local role rowhouse_dispatcher');
      for (const tenant of [A, 't_prove_new']) {
        await ok(
          `insert into webhook.deliveries (tenant_id, endpoint_id, position, event_type) values ($1, '${ONE}', 1, 'prove')`,
          [tenant],
        );
        await ok(
          `insert into webhook.attempts (tenant_id, endpoint_id, position, attempt, attempted_at) values ($1, '${ONE}', 1, 1, now())`,
          [tenant],
        );
      }
      await ok('set local role rowhouse_owner');
      await ok(`delete from tenancy.tenants where id = 't_prove_new'`);
      await ok('set local role rowhouse_dispatcher');
      for (const table of ['deliveries', 'attempts'])
        same(
          await ok(`select tenant_id from webhook.${table} where endpoint_id = '${ONE}'`),
          [{ tenant_id: A }],
          `whose ${table} are left`,
        );
    },
    'rowhouse_migrator',
  ),
];
