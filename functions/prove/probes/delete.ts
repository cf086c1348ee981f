import type { Relation } from '../catalogue.ts';
import type { Lab } from '../lab.ts';
import type { Probe, Role } from '../types.ts';
import { doorsOf, param, pathTo, refusal, rowFilter, type Writing, writingProbe } from './ask.ts';
import { findable, freshBody } from './bodies.ts';
import { victims } from './read.ts';
import { naming, unknownRow } from './update.ts';

const RETURNING = { prefer: 'return=representation' };

/** B's row by its key, by its tenant, and beside one's own. Proved on a row that was made for it. */
export function deleteProbes(lab: Lab, relation: Relation, role: Role): Probe[] {
  const victim = victims(lab, relation)[0] ?? {};
  const names = naming(lab, relation, victim);
  const unknown = unknownRow(lab, relation, victim, names);
  const tenantColumn = relation.columns.find(({ name }) => victim[name] === lab.world.tenants.B)?.name;
  return doorsOf(lab, role).flatMap((door) => {
    const erase = (query: readonly string[], headers: Record<string, string> = RETURNING) => ({
      method: 'DELETE',
      path: pathTo(relation, ...query),
      headers,
    });
    const made = relation.grants.tenant_user?.delete ? freshBody(lab, relation) : undefined;
    const target = made ? erase(rowFilter(findable(lab, relation, made), made)) : undefined;
    const refused = refusal(relation, role, 'delete');
    const writings: Writing[] = [
      {
        verb: 'delete',
        family: 'row',
        title: "B's row by its key",
        attack: erase(rowFilter(names, victim)),
        twin: unknown && erase(rowFilter(names, unknown)),
        control: target,
        refused,
      },
    ];
    if (tenantColumn) {
      const filter = [param(tenantColumn, `eq.${lab.world.tenants.B}`)];
      writings.push({
        verb: 'delete',
        family: 'row',
        title: "all of B's",
        attack: erase(filter, { prefer: 'return=minimal' }),
        refused,
      });
      writings.push({
        verb: 'delete',
        family: 'row',
        title: "all of B's, counted",
        attack: erase(filter, { prefer: 'count=exact' }),
        twin: erase([param(tenantColumn, `eq.${lab.world.run}_nobody`)], { prefer: 'count=exact' }),
        refused,
      });
    }
    return writings.slice(0, lab.options.quick ? 2 : 3).map((writing) => {
      const probe = writingProbe(relation, role, door, writing);
      if (probe.control && made)
        probe.control.before = {
          door: 'direct',
          method: 'POST',
          schema: relation.schema,
          path: pathTo(relation),
          body: made,
          token: 'A_owner',
        };
      return probe;
    });
  });
}

/** All rows that the policies let it delete, without a filter. The last of all probes: A is left with nothing. */
export function deleteSweeps(relation: Relation, role: Role): Probe[] {
  const refused = refusal(relation, role, 'delete');
  const attack = { method: 'DELETE', path: pathTo(relation), headers: { prefer: 'return=minimal' } };
  return [
    writingProbe(relation, role, 'direct', {
      verb: 'delete',
      family: 'row',
      title: 'all rows, unfiltered',
      attack,
      refused,
    }),
  ];
}
