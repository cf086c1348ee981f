import { type Catalogue, mainTable, nameOf, type Relation } from '../catalogue.ts';
import { referencesOf } from '../fill/references.ts';
import type { Forgery } from '../forge.ts';
import type { Lab } from '../lab.ts';
import type { Matrix } from '../matrix.ts';
import { ruleProbes } from '../rules/plan.ts';
import { FAMILIES, type Family, type Finding, type Probe, type Verb } from '../types.ts';
import { refusal, rolesOf } from './ask.ts';
import { callProbes, planCall } from './call.ts';
import { embedPaths } from './embed.ts';
import { familiesOf } from './families.ts';
import type { Session } from './login.ts';
import { sessionProbes } from './session.ts';
import { functionTokenProbes } from './token.ts';
import { upsertWorks } from './upsert.ts';

/** What is run at once, and what in turn: writes to one relation disturb each other, and whoever refers to it. */
export interface Plan {
  reads: Probe[];
  /** One list for the relations that foreign keys hold together: a key that one probe takes, another's reference would find. */
  writes: Probe[][];
  calls: Probe[];
  deletes: Probe[];
  sessions: Probe[];
  rules: Probe[];
  /** Writes without a filter; deletes last, children before parents: nothing of A's is left after them. */
  sweeps: Probe[];
  findings: Finding[];
}

export const allProbes = (plan: Plan): Probe[] => [
  ...plan.reads,
  ...plan.writes.flat(),
  ...plan.calls,
  ...plan.deletes,
  ...plan.sessions,
  ...plan.rules,
  ...plan.sweeps,
];

interface Means {
  forgeries: readonly Forgery[];
  sessions: readonly Session[];
}

type Wanted = (verb: Verb, family: Family) => boolean;

/** All probes, in an order that depends on the seed and the schema alone. The matrix learns what has to be covered. */
export async function planProbes(lab: Lab, matrix: Matrix, means: Means): Promise<Plan> {
  const plan: Plan = {
    reads: [],
    writes: [],
    calls: [],
    deletes: [],
    sessions: [],
    rules: [],
    sweeps: [],
    findings: [],
  };
  const { only } = lab.options;
  const wanted: Wanted = (verb, family) =>
    (!only?.verbs || only.verbs.includes(verb)) && (!only?.families || only.families.includes(family));
  const writesOf = new Map<Relation, Probe[]>();
  for (const relation of lab.relations) {
    const paths = wanted('select', 'embed') ? await embedPaths(lab, relation) : [];
    const upserts = wanted('insert', 'upsert') ? await upsertWorks(lab, relation) : false;
    const writes: Probe[] = [];
    for (const role of rolesOf(lab)) {
      for (const [verb, family, phase, make] of familiesOf(lab, relation, role, { paths, upserts, ...means })) {
        if (!wanted(verb, family)) continue;
        const { probes, nothing } = make();
        const note = role === 'none' ? undefined : refusal(relation, role, verb);
        matrix.expect({ relation: nameOf(relation), verb, role, family }, { note, nothing });
        (phase === 'writes' ? writes : plan[phase]).push(...probes);
      }
    }
    writesOf.set(relation, writes);
    for (const session of means.sessions) {
      for (const role of session.roles) {
        const probes = sessionProbes(lab, relation, session, role).filter(({ family }) => wanted('session', family));
        for (const probe of probes) matrix.expect(probe);
        plan.sessions.push(...probes);
      }
    }
  }
  plan.writes = related(lab.catalogue, lab.relations).map((group) =>
    group.flatMap((relation) => writesOf.get(relation) ?? []),
  );
  plan.sweeps = inSweepOrder(lab, plan.sweeps);
  await planCalls(lab, matrix, means.forgeries, plan, wanted);
  const ruled = await ruleProbes(lab, means.sessions, wanted);
  for (const probe of ruled.probes) matrix.expect(probe);
  plan.rules = ruled.probes;
  plan.findings.push(...ruled.findings);
  return plan;
}

/** Relations in groups that no reference and no table crosses. */
function related(catalogue: Catalogue, relations: readonly Relation[]): Relation[][] {
  const touched = ({ bases }: Relation) =>
    bases.flatMap((name) => {
      const table = catalogue.tables.get(name);
      return [name, ...(table ? referencesOf(table).map(({ references }) => references) : [])];
    });
  return relations
    .reduce<{ relations: Relation[]; tables: Set<string> }[]>((groups, relation) => {
      const tables = new Set(touched(relation));
      const joined = groups.filter((group) => !group.tables.isDisjointFrom(tables));
      const merged = {
        relations: [...joined.flatMap((group) => group.relations), relation],
        tables: joined.reduce((union, group) => union.union(group.tables), tables),
      };
      return [...groups.filter((group) => !joined.includes(group)), merged];
    }, [])
    .map((group) => group.relations);
}

function inSweepOrder(lab: Lab, sweeps: readonly Probe[]): Probe[] {
  const order = new Map(lab.world.tables.map(({ name }, nth) => [name, nth]));
  const place = new Map(
    lab.relations.map((relation) => [nameOf(relation), order.get(mainTable(lab.catalogue, relation)?.name ?? '') ?? 0]),
  );
  const deletes = sweeps.filter(({ verb }) => verb === 'delete');
  const childrenFirst = deletes.toSorted(
    (left, right) => (place.get(right.relation) ?? 0) - (place.get(left.relation) ?? 0),
  );
  return [...sweeps.filter(({ verb }) => verb !== 'delete'), ...childrenFirst];
}

async function planCalls(
  lab: Lab,
  matrix: Matrix,
  forgeries: readonly Forgery[],
  plan: Plan,
  wanted: (verb: Verb, family: Family) => boolean,
): Promise<void> {
  for (const one of lab.catalogue.functions) {
    const name = `${nameOf(one)}()`;
    if (lab.options.only?.relations && !lab.options.only.relations.includes(name)) continue;
    if (!FAMILIES.call.some((family) => wanted('call', family))) continue;
    const call = await planCall(lab, one);
    const callable = one.execute.tenant_user || one.execute.operator;
    if (callable && !call.works)
      plan.findings.push({
        kind: 'vacuous',
        at: name,
        relation: name,
        detail: 'no arguments were found with which it does anything',
      });
    for (const role of rolesOf(lab)) {
      for (const family of FAMILIES.call.filter((candidate) => wanted('call', candidate))) {
        matrix.expect({ relation: name, verb: 'call', role, family });
        plan.calls.push(
          ...(family === 'arguments' ? callProbes(lab, call, role) : functionTokenProbes(lab, one, role, forgeries)),
        );
      }
    }
  }
}
