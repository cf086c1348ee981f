import { RowhouseError } from '../errors.ts';
import { nameOf } from './catalogue.ts';
import { CONCURRENCY } from './client.ts';
import { judge } from './judge.ts';
import type { Lab } from './lab.ts';
import { probeName, victimChanged } from './leaks.ts';
import type { Matrix } from './matrix.ts';
import { allProbes, type Plan } from './probes/plan.ts';
import type { Finding, Probe } from './types.ts';

export interface Outcome {
  findings: Finding[];
  probes: number;
  requests: number;
  /** At the first leak, as was asked for. */
  stopped: boolean;
}

/** Runs the lanes side by side, each in order. */
async function inLanes(
  lanes: readonly (readonly Probe[])[],
  width: number,
  work: (probe: Probe) => Promise<boolean>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let lane = lanes[next++]; lane; lane = lanes[next++]) {
      for (const probe of lane) if (!(await work(probe))) return;
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** Reads first, all at once; then writes, relation by relation; then functions, deletes, sessions and rules, one by one. */
export async function runPlan(lab: Lab, matrix: Matrix, plan: Plan, check: () => void): Promise<Outcome> {
  const outcome: Outcome = { findings: [], probes: 0, requests: 0, stopped: false };
  const total = allProbes(plan).length;
  let told = Date.now();
  const work = async (probe: Probe): Promise<boolean> => {
    check();
    if (outcome.stopped) return false;
    const verdict = await judge(lab, probe).catch((error: unknown) => {
      if (error instanceof RowhouseError) throw error;
      throw new RowhouseError('internal', { detail: `${probeName(probe)}: ${(error as Error).message}`, cause: error });
    });
    if (outcome.stopped) return false; // another lane was first
    outcome.probes++;
    outcome.requests += verdict.requests;
    matrix.count(probe, verdict.outcome);
    if (verdict.outcome !== 'held') {
      const finding: Finding = {
        kind: verdict.outcome,
        at: probeName(probe),
        relation: probe.relation,
        detail: verdict.reason ?? '',
      };
      outcome.findings.push(verdict.curl ? { ...finding, curl: verdict.curl } : finding);
      if (verdict.outcome === 'leak' && lab.options.stopAtFirstLeak) outcome.stopped = true;
    }
    if (Date.now() - told > 2000) {
      told = Date.now();
      lab.options.onProgress?.(`${outcome.probes} of ${total} probes, ${outcome.findings.length} findings`);
    }
    return true;
  };

  await inLanes(
    plan.reads.map((probe) => [probe]),
    CONCURRENCY,
    work,
  );
  const watched = lab.catalogue.relations.map(nameOf);
  const ask = lab.client.ask;
  for (const name of watched) await victimChanged(lab, name, ask);
  await inLanes(plan.writes, 6, work);
  await inLanes(
    [plan.calls, plan.deletes].map((lane) => [...lane]),
    1,
    work,
  );
  await inLanes([plan.sessions, plan.rules, plan.sweeps], 1, work);
  for (const name of outcome.stopped ? [] : watched) {
    const changed = await victimChanged(lab, name, ask);
    if (changed)
      outcome.findings.push({
        kind: 'leak',
        at: name,
        relation: name,
        detail: `B's rows changed while others were attacked: ${changed}`,
      });
  }
  // In the order of the plan, not of the answers: the same seed gives the same report.
  const place = new Map(allProbes(plan).map((probe, nth) => [probeName(probe), nth]));
  outcome.findings.sort((left, right) => (place.get(left.at) ?? Infinity) - (place.get(right.at) ?? Infinity));
  return outcome;
}
