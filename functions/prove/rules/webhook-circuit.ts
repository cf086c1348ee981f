import type { Acting, Rule } from './types.ts';
import {
  createEndpoint,
  HOOK,
  ONE,
  OTHER,
  type Place,
  placeOf,
  plantEndpoints,
  webhookRule,
} from './webhook-acting.ts';

const OPEN = `circuit = 'open', opened = 5, paused_until = now() + interval '1 hour', failing_since = now(), failures = 12, last_error = 'answered 500'`;
const STATE = `circuit, opened, paused_until is not null as paused, failing_since is not null as failing, failures::integer, last_error, generation::integer`;

const left = {
  circuit: 'open',
  opened: 5,
  paused: true,
  failing: true,
  failures: 12,
  last_error: 'answered 500',
  generation: 1,
};
const clean = {
  circuit: 'closed',
  opened: 0,
  paused: false,
  failing: false,
  failures: 0,
  last_error: null,
  generation: 1,
};

/** What ends the pause of an endpoint before its time. */
export const webhookCircuitRules: Rule[] = [
  webhookRule(
    'webhook.half_open(text,uuid)',
    'an endpoint that is paused is tried at once, and no other',
    async (acting) => {
      const { ok, same, facts } = acting;
      await plantEndpoints(acting, 'none');
      const stateOf = async (place: Place) =>
        (
          await ok(
            `select ${STATE} from webhook.endpoint_states where (tenant_id, endpoint_id) = ($1, $2)`,
            placeOf(place, facts),
          )
        )[0];
      const half = () => ok('select webhook.half_open($1, $2)', placeOf('its', facts));
      await half();
      same(await stateOf('its'), clean, 'what becomes of one that is not paused');
      await ok(`update webhook.endpoint_states set ${OPEN} where endpoint_id = any ($1)`, [[ONE, OTHER]]);
      await half();
      const tried = { ...left, circuit: 'half_open', opened: 0, paused: false, generation: 2 };
      same(await stateOf('its'), tried, 'what becomes of one whose circuit is open');
      for (const place of ["B's", "another's"] as const) same(await stateOf(place), left, `what becomes of ${place}`);
      await ok(
        `update webhook.endpoint_states set circuit = 'closed', paused_until = now() + interval '1 hour' where endpoint_id = $1`,
        [ONE],
      );
      await half();
      same(await stateOf('its'), { ...tried, generation: 3 }, 'what becomes of one that is paused');
    },
    'rowhouse_migrator',
  ),
  webhookRule(
    'webhook.guard_endpoint()',
    'one that is enabled again, or is sent to otherwise, has no past, and no other loses its own',
    async (acting: Acting) => {
      const { enter, ok, same } = acting;
      await enter('A_admin');
      const [{ id }, { id: other }] = [await createEndpoint(acting), await createEndpoint(acting)];
      const stateOf = async (which: string) =>
        (await ok(`select ${STATE} from webhook.endpoint_states where endpoint_id = $1`, [which]))[0];
      const change = (set: string) => ok(`update webhook.endpoints set ${set} where id = $1`, [id]);
      for (const [nth, set] of [
        'enabled = true',
        `url = '${HOOK}/moved'`,
        `headers = '{"x-prove": "yes"}'`,
      ].entries()) {
        if (nth === 0) await change('enabled = false');
        await ok(`update webhook.endpoint_states set ${OPEN}, generation = 1 where endpoint_id in ($1, $2)`, [
          id,
          other,
        ]);
        await change(`url = url, description = 'proved', headers = headers`);
        same(await stateOf(id), left, 'what becomes of one that is sent to as before');
        await change(set);
        same(await stateOf(id), { ...clean, generation: 2 }, `what becomes of it after ${set}`);
        same(await stateOf(other), left, 'what becomes of another');
      }
    },
    'rowhouse_migrator',
  ),
];
