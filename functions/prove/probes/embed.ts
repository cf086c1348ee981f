import { type ForeignKey, mainTable, nameOf, type Relation } from '../catalogue.ts';
import { type Lab, victimValues } from '../lab.ts';
import type { Probe, Role } from '../types.ts';
import { doorsOf, pathTo } from './ask.ts';
import { readingProbe } from './reading.ts';

/** One way from a relation to another, as PostgREST spells it. */
export interface EmbedPath {
  to: Relation;
  spelling: string;
  kind: 'one' | 'many' | 'through';
  works: boolean;
}

interface Edge {
  from: Relation;
  to: Relation;
  foreignKey: ForeignKey;
}

/** Foreign keys between tables that are exposed, by the relations that expose them. */
function edges(lab: Lab): Edge[] {
  const exposed = lab.catalogue.relations.map((relation) => ({ relation, table: mainTable(lab.catalogue, relation) }));
  return exposed.flatMap(({ relation: from, table }) =>
    (table?.foreignKeys ?? []).flatMap((foreignKey) =>
      exposed
        .filter((other) => other.table?.name === foreignKey.references && other.relation.schema === from.schema)
        .map(({ relation: to }) => ({ from, to, foreignKey })),
    ),
  );
}

/** All paths that start at a relation, each in the first spelling that B's owner gets an answer to. */
export async function embedPaths(lab: Lab, relation: Relation): Promise<EmbedPath[]> {
  const all = edges(lab);
  const wanted: { to: Relation; kind: EmbedPath['kind']; hints: string[] }[] = [];
  for (const { from, to, foreignKey } of all) {
    const hints = [foreignKey.name, ...foreignKey.columns];
    if (from === relation) wanted.push({ to, kind: 'one', hints });
    if (to === relation) wanted.push({ to: from, kind: 'many', hints });
    if (to === relation) {
      for (const second of all)
        if (second.from === from && second.to !== relation)
          wanted.push({ to: second.to, kind: 'through', hints: [from.name] });
    }
  }
  const found = new Map<string, EmbedPath>();
  for (const { to, kind, hints } of wanted) {
    const spellings = [to.name, ...hints.map((hint) => `${to.name}!${hint}`)];
    let path: EmbedPath = { to, kind, spelling: to.name, works: false };
    for (const spelling of spellings) {
      const answer = await lab.client.ask({
        door: 'direct',
        method: 'GET',
        schema: relation.schema,
        path: pathTo(relation, `select=*,${spelling}(*)`),
        token: 'B_owner',
      });
      if (answer.status !== 200) continue;
      path = { to, kind, spelling, works: true };
      break;
    }
    found.set(`${path.kind} ${path.spelling}`, path);
  }
  return [...found.values()];
}

/** Rows of one relation inside those of another: all, by an inner join, spread, and as an order. */
export function embedProbes(lab: Lab, relation: Relation, role: Role, paths: readonly EmbedPath[]): Probe[] {
  return doorsOf(lab, role).flatMap((door) => {
    if (paths.length === 0) {
      // Nothing is related to it: asked all the same, PostgREST has to say so.
      const other =
        lab.catalogue.relations.find((candidate) => candidate.schema === relation.schema && candidate !== relation) ??
        relation;
      return [
        readingProbe(lab, relation, role, door, {
          family: 'embed',
          title: `${other.name}, which is not related`,
          query: [`select=*,${other.name}(*)`],
          uncontrolled: true,
          refused: 'there is no foreign key between them',
        }),
      ];
    }
    return paths.flatMap(({ to, spelling, kind, works }) => {
      const own = new Set(victimValues(lab, relation));
      const embedded = victimValues(lab, to).filter((value) => !own.has(value));
      const shows = embedded.length > 0 ? embedded : [...own];
      const common = {
        family: 'embed' as const,
        uncontrolled: !works,
        ...(works && shows.length > 0 ? { shows } : {}),
      };
      const inner = `${to.name}!inner${spelling === to.name ? '' : spelling.slice(to.name.length)}`;
      const readings = [{ ...common, title: `${nameOf(to)} (${kind})`, query: [`select=*,${spelling}(*)`] }];
      if (lab.options.quick) return readings.map((reading) => readingProbe(lab, relation, role, door, reading));
      readings.push({ ...common, title: `${nameOf(to)} (${kind}), inner`, query: [`select=*,${inner}(*)`] });
      if (kind === 'one' && to !== relation) {
        const first = encodeURIComponent(to.columns[0]?.name ?? '');
        readings.push({
          ...common,
          title: `${nameOf(to)}, spread`,
          query: [
            `select=*,...${spelling}(${to.columns.map(({ name }, nth) => `of_${nth}:${encodeURIComponent(name)}`).join(',')})`,
          ],
        });
        readings.push({
          ...common,
          title: `${nameOf(to)}, as the order`,
          query: [`select=*,${spelling}(*)`, `order=${to.name}(${first})`],
        });
      }
      return readings.map((reading) => readingProbe(lab, relation, role, door, reading));
    });
  });
}
