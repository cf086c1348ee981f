import { databaseRole, type ExposedFunction, nameOf } from '../catalogue.ts';
import type { Row } from '../fill/row.ts';
import type { Lab } from '../lab.ts';
import { comparable } from '../markers.ts';
import type { Answer, Call, Door, Probe, Role } from '../types.ts';
import type { Letter } from '../world.ts';
import { type Arguments, argumentsOf, seatsOf, type Whose, waysToCall } from './arguments.ts';
import { attackerToken, doorsOf, isTenantRole } from './ask.ts';

export interface CallPlan {
  one: ExposedFunction;
  /** All that are attacked; the first one works, if any does. */
  ways: Arguments[];
  /** Whether its answer to one's own values is a success, or differs from the one to nobody's. */
  works: boolean;
  rightful: { token: string; body: Row };
}

function callOf(one: ExposedFunction, door: Door, token: string | null, body: Row): Call {
  return { door, method: 'POST', schema: one.schema, path: `/rpc/${encodeURIComponent(one.name)}`, token, body };
}

/** Finds arguments with which the function does something for who may call it. */
export async function planCall(lab: Lab, one: ExposedFunction): Promise<CallPlan> {
  const [own, token]: [Letter, string] = one.execute.tenant_user ? ['A', 'A_owner'] : ['C', 'operator'];
  const { ways, all } = waysToCall(lab, one);
  const ok = ({ status }: Answer) => status < 300;
  for (const way of ways) {
    const [mine, nobodys] = (['own', 'nobody'] as const).map((whose) =>
      callOf(
        one,
        'direct',
        token,
        argumentsOf(lab, one, way, () => (whose === 'own' ? own : 'nobody')),
      ),
    ) as [Call, Call];
    const answer = await lab.client.ask(mine);
    const none = one.arguments.length > 0 ? await lab.client.ask(nobodys) : undefined;
    const tells = none !== undefined && comparable(answer, mine) !== comparable(none, nobodys);
    if (!ok(answer) && !tells) continue;
    const body = ok(answer) || !none || !ok(none) ? mine.body : nobodys.body;
    return { one, ways: all ? ways : [way], works: true, rightful: { token, body: body as Row } };
  }
  return { one, ways: ways.slice(0, 1), works: false, rightful: { token, body: {} } };
}

function titleOf(one: ExposedFunction, way: Arguments, seat: number | 'all'): string {
  const words = Object.values(way.words).join(' ');
  if (seat === 'all')
    return `${words} ${one.arguments.length === 0 ? 'no arguments' : "B's values in all arguments"}`.trim();
  const source = way.sources[seat];
  const from = source ? ` (${source.table}.${source.column})` : '';
  return `${words} B's ${one.arguments[seat]?.name}${from}`.trim();
}

/** B's values in each argument, alone and in all of them. */
export function callProbes(lab: Lab, { one, ways, rightful, works }: CallPlan, role: Role): Probe[] {
  const mayCall = role !== 'none' && one.execute[databaseRole(role)];
  const refused = role === 'none' ? 'no token' : mayCall ? undefined : `no grant of EXECUTE to ${databaseRole(role)}`;
  const own: Letter = isTenantRole(role) ? 'A' : 'C';
  const watch = one.volatile ? lab.relations.filter((relation) => relation.grants.tenant_user?.select).map(nameOf) : [];
  // The operator may act on any tenant: what is proved is that acting on C says and changes nothing of B.
  const operatorsOwn = role === 'operator' && mayCall;
  return doorsOf(lab, role).flatMap((door) =>
    (mayCall ? ways : ways.slice(0, 1)).flatMap((way) => {
      const alone = seatsOf(one, way);
      const seats: (number | 'all')[] = alone.length === 1 ? alone : [...alone, 'all'];
      return seats.map((seat): Probe => {
        const given = (whose: Whose) =>
          argumentsOf(lab, one, way, (nth) => (seat === 'all' || seat === nth ? whose : own));
        const call = (body: Row) => callOf(one, door, attackerToken(role), body);
        const tells = one.arguments.length > 0 && !refused && !operatorsOwn;
        return {
          relation: `${nameOf(one)}()`,
          verb: 'call',
          role,
          family: 'arguments',
          door,
          title: titleOf(one, way, seat),
          attack: call(given(operatorsOwn ? 'C' : 'B')),
          watch,
          ...(refused ? { refused } : {}),
          ...(tells ? { twin: call(given('nobody')) } : {}),
          ...(operatorsOwn ? { directoryAllowed: true } : {}),
          // What writes was proved when its arguments were looked for: a second time it may have nothing to do.
          ...(works && !one.volatile ? { control: { call: callOf(one, door, rightful.token, rightful.body) } } : {}),
        };
      });
    }),
  );
}
