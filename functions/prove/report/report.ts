import { createHash } from 'node:crypto';
import { nameOf } from '../catalogue.ts';
import type { Lab } from '../lab.ts';
import { probeName } from '../leaks.ts';
import type { Matrix } from '../matrix.ts';
import { allProbes, type Plan } from '../probes/plan.ts';
import type { Finding, ProveReport } from '../types.ts';

/** What B cannot see of its own is filled with nothing: every probe of it would be vacuous. */
export function blindSpots(lab: Lab): Finding[] {
  return lab.relations
    .filter((relation) => relation.grants.tenant_user?.select || relation.grants.operator?.select)
    .filter((relation) => (lab.seen.get(nameOf(relation))?.B.length ?? 0) === 0)
    .map((relation) => ({
      kind: 'unfillable',
      at: nameOf(relation),
      relation: nameOf(relation),
      detail: "B's owner sees no row of its own: nothing can be proved",
    }));
}

/** What a run comes to. `isWhole`: it was not stopped, so that a cell without a probe counts. */
export function reportOf(
  lab: Lab,
  matrix: Matrix,
  plan: Plan,
  findings: Finding[],
  counts: { probes: number; requests: number },
  started: number,
  isWhole: boolean,
): ProveReport {
  const empty = isWhole ? matrix.empty() : [];
  const uncovered: Finding[] = empty.map(({ relation, verb, role, family, probes }) => ({
    kind: 'uncovered',
    at: `${relation} · ${verb} · ${role} · ${family}`,
    relation,
    detail: probes === 0 ? 'no probe' : 'no probe could be proved',
  }));
  const all = [...findings, ...uncovered];
  const digest = createHash('sha256');
  for (const probe of allProbes(plan)) {
    digest.update(`${probeName(probe)}\n${lab.client.curl(probe.attack)}\n`);
    if (probe.control) digest.update(`${lab.client.curl(probe.control.call)}\n`);
  }
  return {
    seed: lab.world.seed,
    ...counts,
    leaks: findings.filter(({ kind }) => kind === 'leak').length,
    uncovered: all.filter(({ kind }) => kind === 'uncovered' || kind === 'unfillable').length,
    findings: all,
    cells: matrix.cells(),
    relations: lab.relations.map(nameOf),
    functions: lab.catalogue.functions.map((one) => `${nameOf(one)}()`),
    digest: digest.digest('hex'),
    seconds: Math.round((Date.now() - started) / 100) / 10,
  };
}
