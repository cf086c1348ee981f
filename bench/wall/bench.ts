import { runLoad } from '../load.ts';
import { openRecorder } from '../plans/recorder.ts';
import { watchProcesses } from '../processes.ts';
import type { Bench } from '../report.ts';
import { runRounds } from '../rounds.ts';
import { type BenchStack, withStack } from '../stack.ts';
import { measureGate } from './gate.ts';
import { openPostgrest } from './postgrest.ts';
import { type Profile, profileOf } from './profile.ts';
import { report } from './report.ts';
import { checkAnswers, OWN_SCHEMAS, type Side, type SideName, sidesOf } from './sides.ts';
import { createSteps, type Tenant } from './tables.ts';

/** Enough to keep two cores busy, and few enough not to measure queues. */
const CONNECTIONS = 32;
const TENANTS = 1000;

const bench: Bench = ({ quick, progress }) =>
  withStack(progress, async (stack) => {
    const rounds = quick ? 5 : 15;
    const seconds = quick ? 2 : 5;
    progress(`${TENANTS} tenants with files, and a copy of them for each step`);
    const tenants = await createSteps(stack.admin, { tenants: TENANTS, rowsPerTenant: quick ? 40 : 200 });
    const [tenant] = tenants as [Tenant];
    progress('the gate by itself');
    const gate = await measureGate(stack.info.database.admin, tenant, quick ? 15 : 51);

    const ungated = await openPostgrest(stack, { name: 'ungated', schemas: OWN_SCHEMAS, gated: false });
    const gated = await openPostgrest(stack, { name: 'gated', schemas: OWN_SCHEMAS, gated: true });
    try {
      const sides = sidesOf({ gated: gated.origin, ungated: ungated.origin }, tenants);
      await checkAnswers(sides);
      const profiles = await profilesOf(stack, sides, tenant);
      const samples = await runRounds(sides, { rounds, progress }, async (side, round) => {
        const postgrest = side.gated ? gated.pid : ungated.pid;
        const watch = watchProcesses({ postgres: stack.pids().postgres as number, postgrest });
        const load = { origin: side.origin, requests: side.requests, connections: CONNECTIONS };
        const result = await runLoad({ ...load, seconds: round === 0 ? 1 : seconds });
        return { ...result, ...watch.stop(result.requests) };
      });
      return report(sides, samples, profiles, gate);
    } finally {
      await gated.stop();
      await ungated.stop();
    }
  });

/** Of each side's statement, as PostgREST sends it. */
async function profilesOf(stack: BenchStack, sides: readonly Side[], tenant: Tenant) {
  const profiles = {} as Record<SideName, Profile>;
  const recorder = await openRecorder(stack.info.database.authenticator);
  for (const gated of [false, true]) {
    const postgrest = await openPostgrest(stack, {
      ...{ name: 'recorded', schemas: OWN_SCHEMAS, gated, databaseUrl: recorder.url, poolSize: 1 },
    });
    try {
      for (const side of sides.filter((candidate) => candidate.gated === gated)) {
        const [{ path, headers }] = side.requests as [Side['requests'][number]];
        recorder.take();
        await fetch(`${postgrest.origin}${path}`, { headers }).then((answer) => answer.text());
        const recorded = recorder.take().find(({ text }) => text.startsWith('WITH pgrst_source'));
        if (!recorded) throw new Error(`PostgREST ran no statement for ${side.name}`);
        profiles[side.name] = await profileOf(stack.admin, side, tenant, recorded);
      }
    } finally {
      await postgrest.stop();
    }
  }
  await recorder.close();
  return profiles;
}

export default bench;
