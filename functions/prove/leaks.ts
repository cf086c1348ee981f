import { nameOf } from './catalogue.ts';
import { type Lab, listing } from './lab.ts';
import { carried, said } from './markers.ts';
import type { Answer, Call, Probe } from './types.ts';

export const succeeded = ({ status }: Answer) => status >= 200 && status < 300;
/** PostgREST 12 answers 500 where the database refuses to write to a view that takes no writes (55000, before it looks at grants). */
export const failed = ({ status, body }: Answer) => status >= 500 && !body.includes('"code":"55000"');
export const brief = ({ status, body }: Answer) => `${status} ${body.slice(0, 200)}`;

export const probeName = ({ relation, verb, role, family, door, title }: Probe): string =>
  `${relation} · ${verb} · ${role} · ${family} · ${door} · ${title}`;

/** Whether A could have one of B's values in this relation from B alone: the ledger keeps what A wrote when the row is gone. */
export const telling = (lab: Lab, relation: string, text: string): boolean =>
  !lab.tainted.has(text) && !(relation === 'v1.events' && lab.written.has(text));

/** @returns what is wrong with an answer to an attack */
export async function leaks(
  lab: Lab,
  probe: Probe,
  call: Call,
  answer: Answer,
  ask: (call: Call) => Promise<Answer>,
): Promise<string | undefined> {
  const markers = lab.markers.filter(
    ({ text, directory }) => telling(lab, probe.relation, text) && !(probe.directoryAllowed && directory),
  );
  const request = said(call);
  const found = carried(answer, request, markers);
  if (found.length > 0)
    return `the answer carries ${found.length} of B's values, such as ${found[0]}: ${brief(answer)}`;
  const nothing = probe.mayTouchNothing && answer.body === '[]';
  if (probe.refused && succeeded(answer) && !nothing) return `it was not refused (${probe.refused}): ${brief(answer)}`;
  if (succeeded(answer) && call.body !== undefined) {
    for (const { text } of lab.markers) {
      if (!request.includes(text)) continue;
      lab.tainted.add(text);
      lab.written.add(text);
    }
  }
  for (const name of probe.watch ?? []) {
    const changed = await victimChanged(lab, name, ask);
    if (changed) return `B's rows of ${name} changed: ${changed}`;
  }
  return undefined;
}

/** A has no row with these values any more: they tell B's again. */
export function untaint(lab: Lab, call: Call): void {
  const request = said(call);
  for (const { text } of lab.markers) if (request.includes(text)) lab.tainted.delete(text);
}

const baselines = new WeakMap<Lab, Map<string, string>>();

/** Compares what B's owner sees with what it saw before; what differs once is the next baseline. */
export async function victimChanged(
  lab: Lab,
  name: string,
  ask: (call: Call) => Promise<Answer>,
): Promise<string | undefined> {
  const relation = lab.catalogue.relations.find((candidate) => nameOf(candidate) === name);
  if (!relation?.grants.tenant_user?.select) return undefined;
  const known = baselines.get(lab) ?? new Map<string, string>();
  baselines.set(lab, known);
  const { status, body } = await ask(listing(lab, relation, 'B_owner'));
  const now = `${status} ${body}`;
  const before = known.get(name);
  known.set(name, now);
  if (before === undefined || before === now) return undefined;
  return difference(before, now);
}

/** Where two texts part. */
export function difference(before: string, now: string): string {
  let from = 0;
  while (from < before.length && before[from] === now[from]) from++;
  return `from …${before.slice(Math.max(0, from - 20), from + 60)}… to …${now.slice(Math.max(0, from - 20), from + 60)}…`;
}
