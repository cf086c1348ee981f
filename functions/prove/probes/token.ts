import { type ExposedFunction, nameOf, type Relation } from '../catalogue.ts';
import type { Forgery } from '../forge.ts';
import type { Lab } from '../lab.ts';
import type { Probe, Role } from '../types.ts';
import { doorsOf } from './ask.ts';
import { readingProbe } from './reading.ts';

/** Every forged token at every relation; half of them at the edge as well. */
export function tokenProbes(lab: Lab, relation: Relation, role: Role, forgeries: readonly Forgery[]): Probe[] {
  const own = forgeries.filter((forgery) => forgery.role === role);
  const chosen = lab.options.quick && lab.relations.length > 1 ? own.slice(0, 8) : own;
  return doorsOf(lab, role, true).flatMap((door) =>
    chosen
      .filter((_, nth) => door === 'direct' || nth % 2 === 0)
      .map(({ token, title }) =>
        readingProbe(lab, relation, role, door, {
          family: 'token',
          title,
          query: ['select=*'],
          attackToken: token,
          refused: `the token is worth nothing: ${title}`,
        }),
      ),
  );
}

/** A forged token opens no function either. */
export function functionTokenProbes(
  lab: Lab,
  one: ExposedFunction,
  role: Role,
  forgeries: readonly Forgery[],
): Probe[] {
  const args = Object.fromEntries(
    one.arguments.filter(({ optional }) => !optional).map(({ name }) => [name, lab.world.tenants.B]),
  );
  return forgeries
    .filter((forgery) => forgery.role === role)
    .slice(0, lab.options.quick ? 2 : 6)
    .map(({ token, title }) => ({
      relation: `${nameOf(one)}()`,
      verb: 'call',
      role,
      family: 'token',
      door: 'direct',
      title,
      attack: {
        door: 'direct',
        method: 'POST',
        schema: one.schema,
        path: `/rpc/${encodeURIComponent(one.name)}`,
        token,
        body: args,
      },
      refused: `the token is worth nothing: ${title}`,
    }));
}
