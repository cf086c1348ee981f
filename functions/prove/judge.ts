import { judgeGenerated } from './generated.ts';
import type { Lab } from './lab.ts';
import { brief, difference, failed, leaks, succeeded, untaint } from './leaks.ts';
import { comparable } from './markers.ts';
import type { Answer, Call, Control, Probe, Verdict } from './types.ts';

/** Tries a probe: first that it can hit, then that it does not. */
export async function judge(lab: Lab, probe: Probe): Promise<Verdict> {
  if (probe.run) return probe.run();
  let requests = 0;
  const ask = async (call: Call): Promise<Answer> => {
    requests++;
    return lab.client.ask(call);
  };
  const verdict = (outcome: Verdict['outcome'], call?: Call, reason?: string): Verdict => ({
    outcome,
    requests,
    ...(reason ? { reason } : {}),
    ...(call ? { curl: lab.client.curl(call) } : {}),
  });

  if (probe.control) {
    const failure = await proves(probe.control, ask);
    if (failure) return verdict('vacuous', probe.control.fallback ?? probe.control.call, failure);
  }
  if (probe.generated) return judgeGenerated(lab, probe, ask, verdict);

  const answer = await ask(probe.attack);
  const wrong = await leaks(lab, probe, probe.attack, answer, ask);
  if (probe.after && succeeded(await ask(probe.after))) untaint(lab, probe.attack);
  if (wrong) return verdict('leak', probe.attack, wrong);
  if (failed(answer)) return verdict('broken', probe.attack, `it answered ${brief(answer)}`);
  if (probe.twin) {
    const twin = await ask(probe.twin);
    const [told, unknown] = [comparable(answer, probe.attack), comparable(twin, probe.twin)];
    if (told !== unknown) {
      const how = `${answer.status} against ${twin.status} for what nobody has, ${difference(unknown, told)}`;
      return verdict('leak', probe.attack, `it tells what exists: ${how}`);
    }
  }
  return verdict('held');
}

/** @returns why the control does not show that the probe can hit */
async function proves(
  { after = [], ...control }: Control,
  ask: (call: Call) => Promise<Answer>,
): Promise<string | undefined> {
  const failure = await shownBy(control, ask);
  for (const call of after) await ask(call);
  return failure;
}

async function shownBy(
  { before, call, shows, fallback }: Control,
  ask: (call: Call) => Promise<Answer>,
): Promise<string | undefined> {
  const good = (answer: Answer) =>
    succeeded(answer) &&
    (!shows || shows.some((value) => `${answer.body}\n${Object.values(answer.headers).join('\n')}`.includes(value)));
  const prepared = before && (await ask(before));
  if (prepared && !succeeded(prepared)) return `what it needs could not be made: ${brief(prepared)}`;
  const answer = await ask(call);
  if (good(answer)) return undefined;
  if (!fallback) return `its rightful asker got ${brief(answer)}`;
  const allowed = await ask(fallback);
  return good(allowed) ? undefined : `even who may got ${brief(allowed)}`;
}
