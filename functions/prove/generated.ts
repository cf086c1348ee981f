import fc from 'fast-check';
import type { Lab } from './lab.ts';
import { brief, failed, leaks, probeName } from './leaks.ts';
import { seedOf } from './random.ts';
import type { Answer, Call, Probe, Verdict } from './types.ts';

/** Generated input: as many values as asked for; a leak is shrunk to the least that leaks. */
export async function judgeGenerated(
  lab: Lab,
  probe: Probe,
  ask: (call: Call) => Promise<Answer>,
  verdict: (outcome: Verdict['outcome'], call?: Call, reason?: string) => Verdict,
): Promise<Verdict> {
  const { values, attack, runs, judge: look } = probe.generated as NonNullable<Probe['generated']>;
  let wrong: { outcome: 'leak' | 'broken'; reason: string; call: Call } | undefined;
  await fc.check(
    fc.asyncProperty(values, async (value) => {
      const call = attack(value);
      const answer = await ask(call);
      const leak = (await leaks(lab, probe, call, answer, ask)) ?? (await look?.(answer, value, ask));
      if (leak) wrong = { outcome: 'leak', reason: `for ${JSON.stringify(value)}: ${leak}`, call };
      else if (failed(answer))
        wrong = { outcome: 'broken', reason: `for ${JSON.stringify(value)} it answered ${brief(answer)}`, call };
      else return true;
      return false;
    }),
    {
      seed: seedOf(lab.world.seed, probeName(probe)),
      numRuns: runs,
      endOnFailure: false,
      timeout: 20_000,
      interruptAfterTimeLimit: 15_000,
    },
  );
  return wrong ? verdict(wrong.outcome, wrong.call, wrong.reason) : verdict('held');
}
