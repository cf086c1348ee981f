import { mainTable, type Relation } from '../catalogue.ts';
import type { Row } from '../fill/row.ts';
import { keyOf, type Lab } from '../lab.ts';
import type { Probe, Role } from '../types.ts';
import { doorsOf, pathTo, refusal, rowFilter, type Writing, writingProbe } from './ask.ts';
import { foreignBody, freshBody, undoing } from './bodies.ts';
import { anyBody } from './insert.ts';
import { victims } from './read.ts';

const RETURNING = { prefer: 'return=representation' };

/** Whether anybody can upsert here at all: some views cannot, some grants do not reach. */
export async function upsertWorks(lab: Lab, relation: Relation): Promise<boolean> {
  const body = freshBody(lab, relation);
  const key = keyOf(lab, relation);
  if (!body || key.length === 0) return false;
  const path = pathTo(relation, `on_conflict=${key.map(encodeURIComponent).join(',')}`);
  const answer = await lab.client.ask({
    door: 'direct',
    method: 'POST',
    schema: relation.schema,
    path,
    token: 'A_owner',
    body,
    headers: { prefer: 'resolution=ignore-duplicates' },
  });
  for (const call of undoing(lab, relation, [body])) await lab.client.ask(call);
  return answer.status < 300;
}

/** Conflicts with B's row, merged or ignored, and PUT of it. */
export function upsertProbes(lab: Lab, relation: Relation, role: Role, works: boolean): Probe[] {
  const key = keyOf(lab, relation);
  const victim = victims(lab, relation)[0] ?? {};
  const allowed = relation.grants.tenant_user?.insert ?? [];
  return doorsOf(lab, role).flatMap((door) => {
    const body: Row = foreignBody(
      lab,
      relation,
      allowed.length > 0
        ? Object.fromEntries(allowed.filter((name) => Object.hasOwn(victim, name)).map((name) => [name, victim[name]]))
        : anyBody(lab, relation),
    );
    const path = pathTo(relation, `on_conflict=${key.map(encodeURIComponent).join(',')}`);
    const refused = refusal(relation, role, 'insert', Object.keys(body));
    const fresh = works ? freshBody(lab, relation) : undefined;
    const proof = fresh
      ? {
          control: { method: 'POST', path, body: fresh, headers: { prefer: 'resolution=ignore-duplicates' } },
          undo: undoing(lab, relation, [fresh]),
        }
      : {};
    const upsert = (resolution: string) => ({
      method: 'POST',
      path,
      body,
      headers: { prefer: `resolution=${resolution},return=minimal` },
    });
    const writings: Writing[] = [
      {
        verb: 'insert',
        family: 'upsert',
        title: "merged with B's row",
        attack: upsert('merge-duplicates'),
        ...proof,
        refused,
      },
      {
        verb: 'insert',
        family: 'upsert',
        title: "ignored for B's row",
        attack: upsert('ignore-duplicates'),
        ...proof,
        refused: refused ?? 'it names another tenant',
      },
      {
        verb: 'insert',
        family: 'upsert',
        title: "PUT of B's row",
        attack: { method: 'PUT', path: pathTo(relation, ...rowFilter(key, victim)), body, headers: RETURNING },
        refused,
      },
    ];
    return writings.map((writing) =>
      writingProbe(relation, role, door, {
        ...writing,
        refused: Object.hasOwn(body, mainTable(lab.catalogue, relation)?.tenantColumn ?? '')
          ? writing.refused
          : refused,
      }),
    );
  });
}
